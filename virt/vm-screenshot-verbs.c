/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <openssl/evp.h>
#include <string.h>

#include "virt/picture.h"
#include "virt/virt.h"
#include "virt/vm-steps.h"

/* An answer stays below the 1 MiB of a frame, and base64 makes four bytes of three. */
#define PNG_SIZE_MAX (720 * 1024)
/* What libvirt may send: a PPM of the largest screen that is taken, and its head. */
#define SENT_SIZE_MAX ((size_t)PICTURE_SIDE_MAX * PICTURE_SIDE_MAX * 3 + 4096)
#define PIECE_SIZE (256 * 1024)

struct screenshot_args {
    struct vm_args vm;
    int64_t screen;
};

static const struct shape screenshot_shape = {
    .name = "VmScreenshot",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"screen\",\"mimeType\",\"width\",\"height\",\"scale\",\"data\"],"
        "\"properties\":{\"vm\":{\"type\":\"string\"},\"screen\":{\"type\":\"integer\"},"
        "\"mimeType\":{\"const\":\"image/png\"},\"width\":{\"type\":\"integer\"},\"height\":{\"type\":\"integer\"},"
        "\"scale\":{\"type\":\"integer\",\"minimum\":1},\"data\":{\"type\":\"string\"}}}",
};

/* What the stream gives, to its end. */
static bool
receive(struct call *call, virDomainPtr domain, virStreamPtr stream, struct text *sent,
        struct error **err)
{
    for (;;) {
        int received = virStreamRecv(stream, text_reserve(sent, PIECE_SIZE), PIECE_SIZE);

        if (received == 0)
            return virStreamFinish(stream) == 0 ||
                   virt_fail(err, domain, "cannot have the picture of the screen");
        if (received < 0)
            return virt_fail(err, domain, "cannot have the picture of the screen");
        text_grow(sent, (size_t)received);
        if (sent->length <= SENT_SIZE_MAX && !call_aborted(call))
            continue;
        (void)virStreamAbort(stream);
        return call_aborted(call)
                   ? error_set(err, ERROR_TASK_ABORTED, "the picture is not wanted any more")
                   : error_set(err, ERROR_LIMIT_EXCEEDED,
                               "the screen is larger than %d by %d pixels", PICTURE_SIDE_MAX,
                               PICTURE_SIDE_MAX);
    }
}

static bool
take(struct call *call, virDomainPtr domain, struct picture *ret_picture, struct error **err)
{
    const struct screenshot_args *args = call->args;
    _cleanup_text_ struct text sent = TEXT_INIT;
    _cleanup_free_ char *mime_type = NULL;
    virStreamPtr stream = virStreamNew(virDomainGetConnect(domain), 0);
    bool done;

    if (!stream)
        return virt_fail(err, domain, "cannot have the picture of the screen");
    mime_type = virDomainScreenshot(domain, stream, (unsigned)args->screen, 0);
    done = mime_type ? receive(call, domain, stream, &sent, err)
                     : virt_fail(err, domain, "cannot have a picture of screen %lld of '%s'",
                                 (long long)args->screen, args->vm.vm);
    (void)virStreamFree(stream);
    return done && picture_read(mime_type, &sent, ret_picture, err);
}

static void
write_base64(struct writer *writer, const struct text *bytes)
{
    _cleanup_text_ struct text encoded = TEXT_INIT;
    size_t size = (bytes->length + 2) / 3 * 4;
    char *room = text_reserve(&encoded, size + 1);

    (void)EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)bytes->bytes,
                          (int)bytes->length);
    text_grow(&encoded, size);
    writer_key(writer, "data");
    writer_string_sized(writer, encoded.bytes, encoded.length);
}

static void
write_result(struct call *call, virDomainPtr domain, const struct picture *picture, unsigned scale,
             const struct text *png)
{
    const struct screenshot_args *args = call->args;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "vm", virDomainGetName(domain));
    writer_member_integer(writer, "screen", args->screen);
    writer_member_string(writer, "mimeType", "image/png");
    writer_member_unsigned(writer, "width", picture->width);
    writer_member_unsigned(writer, "height", picture->height);
    writer_member_unsigned(writer, "scale", scale);
    write_base64(writer, png);
    writer_end_object(writer);
}

static enum outcome
screenshot_run(struct call *call)
{
    _cleanup_(picture_done) struct picture picture = { 0 };
    _cleanup_text_ struct text png = TEXT_INIT;
    struct error *error = NULL;
    virDomainPtr domain;
    unsigned scale;

    if (!vm_domain(call, &domain, &error) || !take(call, domain, &picture, &error) ||
        !picture_write_png(&picture, PNG_SIZE_MAX, &png, &scale, &error))
        return vm_fail(call, error);
    write_result(call, domain, &picture, scale, &png);
    return call_complete(call, NULL);
}

const struct verb vm_screenshot_verbs[] = {
    {
        .name = "vm.screenshot",
        .summary = "Take a picture of what a virtual machine shows on its screen.",
        .description =
            "A PNG in base64 ('data'). One that would not fit into an answer is made smaller, 'scale' times in "
            "each direction.",
        .role = ROLE_VIEWER,
        .kind = VERB_READS,
        .args_size = sizeof(struct screenshot_args),
        .params =
            PARAMS(VM_PARAM(screenshot_args),
                   PARAM(screenshot_args, screen, "screen", .type = PARAM_INTEGER, .minimum = 0,
                         .maximum = 63, .fallback = "0", .about = "Which of its screens, from 0.")),
        .result = &screenshot_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_LIMIT_EXCEEDED,
                         ERROR_TIMEOUT, ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .state_size = sizeof(struct vm_use),
        .state_done = vm_state_done,
        .object = vm_name_object,
        .steps = STEPS(VM_FIND_STEP, { "take the picture", screenshot_run, .pool = POOL_VIRT }),
    },
    { 0 },
};
