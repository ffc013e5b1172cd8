/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a message: what the scanner takes for JSON, jansson does too; and whatever it is, a
 * connection is answered with valid messages, as many as it is owed, and nothing is left behind.
 *
 * Where the two differ on purpose:
 *   - jansson refuses integers beyond 64 bits and reals beyond doubles: we name the parameter
 *   - jansson refuses a NUL (\u0000) in a key: to us it is an unknown parameter like any other
 *   - jansson 2.14 takes "1" and a NUL byte for the number 1: a raw NUL is never JSON
 *   - our limit of nesting is the agent's, jansson's is 2,048
 *
 * libFuzzer: tests/fuzz/run.sh.  The corpus is replayed by tests/unit/test-fuzz-corpus.c.
 */
#include <config.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpc/envelope.h"
#include "tests/unit/fake-agent.h"

#define DEPTH_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The content of a string as jansson and as we read it. */
static void
compare_string(struct slice slice, const char *expected, size_t expected_size)
{
    _cleanup_free_ char *owned = NULL;
    const char *text;
    size_t size;

    slice_string(slice, &text, &size, &owned);
    REQUIRE(size == expected_size && memcmp(text, expected, size) == 0);
}

static void compare(struct slice slice, const json_t *value);

static void
compare_object(struct slice slice, const json_t *object)
{
    struct slice key, value;
    struct scan scan;
    size_t count = 0;

    scan_inside(&scan, slice);
    while (scan_member(&scan, &key, &value)) {
        _cleanup_free_ char *owned = NULL;
        const char *text;
        size_t size;
        json_t *member;

        count++;
        slice_string(key, &text, &size, &owned);
        member = json_object_getn(object, text, size);
        REQUIRE(member);
        if (json_object_size(object) == 1)
            compare_string(key, json_object_iter_key(json_object_iter((json_t *)(uintptr_t)object)),
                           size);
    }
    REQUIRE(scan_at_end(&scan));
    REQUIRE(count >= json_object_size(object)); /* more where a key is there twice */
}

static void
compare(struct slice slice, const json_t *value)
{
    struct slice element;
    struct scan scan;
    size_t count = 0;

    switch (json_typeof(value)) {
    case JSON_STRING:
        compare_string(slice, json_string_value(value), json_string_length(value));
        break;
    case JSON_OBJECT: compare_object(slice, value); break;
    case JSON_ARRAY:
        scan_inside(&scan, slice);
        while (scan_element(&scan, &element))
            compare(element, json_array_get(value, count++));
        REQUIRE(count == json_array_size(value));
        break;
    default:
        REQUIRE(strcmp(slice_kind(slice), json_is_number(value)    ? "a number"
                                          : json_is_boolean(value) ? "a boolean"
                                                                   : "null") == 0);
    }
}

/* Printed by jansson and scanned again, it is the same. */
static void
check_round_trip(const json_t *value)
{
    char *printed = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    struct slice slice;
    struct scan scan;

    REQUIRE(printed);
    scan_init(&scan, printed, strlen(printed), DEPTH_MAX);
    REQUIRE(scan_value(&scan, &slice) && scan_at_end(&scan));
    compare(slice, value);
    free(printed);
}

static bool
differs_on_purpose(const json_error_t *fault)
{
    enum json_error_code code = json_error_code(fault);

    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key;
}

static void
check_envelope(const struct envelope *envelope, const json_t *value)
{
    size_t members = envelope->other_count;

    if (!json_is_object(value))
        return;
    members += !!envelope->version.text + !!envelope->method.text + !!envelope->params.text +
               !!envelope->result.text + !!envelope->error.text + !!envelope->id.text;
    if (envelope->other_count <= ENVELOPE_OTHERS_MAX) {
        REQUIRE(envelope->twice.text || members == json_object_size(value));
        REQUIRE(!envelope->id.text == !json_object_get(value, "id"));
        REQUIRE(!envelope->method.text == !json_object_get(value, "method"));
    }
}

static void
check_scanner(const char *bytes, size_t size)
{
    struct envelope envelope;
    struct slice slice;
    struct scan scan, again;
    json_error_t fault;
    json_t *value;
    bool good, envelope_good;

    scan_init(&scan, bytes, size, DEPTH_MAX);
    good = scan_value(&scan, &slice) && scan_at_end(&scan);
    scan_init(&again, bytes, size, DEPTH_MAX);
    envelope_good = envelope_scan(&again, &envelope) && scan_at_end(&again);
    REQUIRE(envelope_good == good && again.at == scan.at && again.too_deep == scan.too_deep);
    if (scan.too_deep)
        return;
    if (memchr(bytes, '\0', size)) {
        REQUIRE(!good);
        return;
    }
    value = json_loadb(bytes, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &fault);
    if (!value) {
        REQUIRE(!good || differs_on_purpose(&fault));
        return;
    }
    REQUIRE(good);
    compare(slice, value);
    check_envelope(&envelope, value);
    check_round_trip(value);
    json_decref(value);
}

static size_t
check_answer(const json_t *answer)
{
    json_t *error = json_object_get(answer, "error");

    REQUIRE(json_is_object(answer) && json_object_size(answer) == 3);
    REQUIRE(json_object_get(answer, "id") && !json_object_get(answer, "result") != !error);
    if (error) {
        REQUIRE(json_is_integer(json_object_get(error, "code")));
        REQUIRE(json_is_string(json_object_get(json_object_get(error, "data"), "name")));
    }
    return 1;
}

/* Of answers one of whose ids is a number that jansson cannot read. */
#define UNKNOWN SIZE_MAX

/* All that was sent is answers; returns their number, or UNKNOWN. */
static size_t
check_sent(size_t n)
{
    char *sent = xstrdup(fake_sent(n)), *at = sent, *line;
    size_t count = 0, i;
    bool readable = true;
    json_t *answer;

    while (*sent && (line = strsep(&at, "\n"))) {
        json_error_t fault;
        json_t *message = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &fault);

        readable = readable && message;
        REQUIRE(message || json_error_code(&fault) == json_error_numeric_overflow);
        if (json_is_array(message)) {
            REQUIRE(json_array_size(message) > 0);
            json_array_foreach(message, i, answer) count += check_answer(answer);
        } else if (message) {
            count += check_answer(message);
        }
        json_decref(message);
    }
    free(sent);
    return readable ? count : UNKNOWN;
}

static void
check_nothing_is_left(size_t n)
{
    while (fake->task_count)
        fake_end_at(fake->task_count / 2);
    REQUIRE(fake->connections[n].unanswered == 0);
    REQUIRE(fake->connections[n].tasks == 0 && !fake->connections[n].replies);
}

static void
check_request(const char *bytes, size_t size)
{
    size_t web_socket, post;

    fake_receive_sized(0, bytes, size);
    check_nothing_is_left(0);
    web_socket = check_sent(0);

    fake->connections[1].http = true;
    fake->finished[1] = 0;
    fake_receive_sized(1, bytes, size);
    check_nothing_is_left(1);
    REQUIRE(fake->finished[1] == 1);
    post = check_sent(1);
    REQUIRE(web_socket == post || web_socket == UNKNOWN || post == UNKNOWN);

    /* The client goes while its calls run. */
    fake_receive_sized(0, bytes, size);
    (void)check_sent(0);
    request_forget(&fake->connections[0]);
    fake->connections[0].closed = true;
    while (fake->task_count)
        fake_end_at(0);
    REQUIRE(check_sent(0) == 0);
    fake->connections[0].closed = false;
    fake->connections[0].unanswered = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!fake)
        fake_open();
    /* From memory of just its size, so that each byte read beyond it is seen. */
    char *copy = xalloc(size ? size : 1);

    if (size)
        memcpy(copy, bytes, size);
    check_scanner(copy, size);
    check_request(copy, size);
    free(copy);
    return 0;
}
