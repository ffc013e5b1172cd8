/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ticket for a VM's screen: a password of its VNC or SPICE server that is good for a while.
 *
 * libvirt hands it to QEMU, and keeps it out of the description that it shows.  It is in the answer, and
 * in nothing else: the task's result is written again without it, before anybody can ask.
 */
#include <config.h>

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "agent/base/clock.h"
#include "virt/virt.h"
#include "virt/vm-steps.h"

#define VNC_PASSWORD_MAX 8 /* what its protocol has room for */
#define PASSWORD_MAX 60
#define TIMEOUT_MAX (30 * 86400)

struct ticket_args {
    struct vm_args vm;
    const char *kind; /* or NULL: the first there is */
    char *password;   /* or NULL: make one */
    int64_t timeout_s;
    const char *connected;
};

struct ticket_state {
    struct vm_use use;
    char made[VNC_PASSWORD_MAX + 1]; /* "": the caller gave one */
    char *kind, *address, *socket;   /* owned, or NULL */
    char *serial;
    int64_t port, tls_port, websocket_port; /* -1: none */
    int64_t valid_to_ns;
};

static const struct shape ticket_shape = {
    .name = "VmConsoleTicket",
    .schema =
        "{\"type\":\"object\",\"required\":[\"vm\",\"kind\",\"address\",\"port\",\"tlsPort\",\"websocketPort\","
        "\"socket\",\"password\",\"validTo\",\"serial\"],\"properties\":{\"vm\":{\"type\":\"string\"},"
        "\"kind\":{\"enum\":[\"vnc\",\"spice\"]},\"address\":{\"type\":[\"string\",\"null\"]},"
        "\"port\":{\"type\":[\"integer\",\"null\"]},\"tlsPort\":{\"type\":[\"integer\",\"null\"]},"
        "\"websocketPort\":{\"type\":[\"integer\",\"null\"]},\"socket\":{\"type\":[\"string\",\"null\"]},"
        "\"password\":{\"type\":[\"string\",\"null\"]},\"validTo\":{\"type\":\"string\"},"
        "\"serial\":{\"type\":[\"string\",\"null\"]}}}",
};

/* Six bits for each character: 48, for some minutes and one door. */
static bool
make_password(char ret_password[VNC_PASSWORD_MAX + 1], struct error **err)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[VNC_PASSWORD_MAX];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return error_set(err, ERROR_INTERNAL, "cannot have random bytes for a password");
    for (size_t i = 0; i < sizeof(bytes); i++)
        ret_password[i] = alphabet[bytes[i] & 63];
    ret_password[VNC_PASSWORD_MAX] = '\0';
    return true;
}

static bool
check_password(const char *password, bool vnc, struct error **err)
{
    for (const char *character = password; *character; character++)
        if (*character < 0x21 || *character > 0x7e)
            return error_param(err, "password",
                               "must be of ASCII's letters, digits and signs, without blanks");
    if (vnc && strlen(password) > VNC_PASSWORD_MAX)
        return error_param(err, "password",
                           "is longer than the %d characters that VNC has room for",
                           VNC_PASSWORD_MAX);
    return true;
}

static const struct xml_node *
find_graphics(const struct xml_node *devices, const char *kind)
{
    for (XML_EACH(node, devices, "graphics"))
        if (kind ? xml_attribute_is(node, "type", kind)
                 : xml_attribute_is(node, "type", "vnc") || xml_attribute_is(node, "type", "spice"))
            return node;
    return NULL;
}

static int64_t
port_of(const struct xml_node *node, const char *name)
{
    uint64_t port;

    return xml_attribute_number(node, name, &port) && port > 0 && port <= 65535 ? (int64_t)port
                                                                                : -1;
}

/* Where to connect to. */
static void
note_place(struct ticket_state *state, const struct xml_node *graphics,
           const struct xml_node *devices)
{
    const struct xml_node *listen = xml_child(graphics, "listen");

    state->kind = xml_attribute(graphics, "type");
    state->address = xml_attribute(graphics, "listen");
    if (!state->address)
        state->address = xml_attribute(listen, "address");
    state->socket = xml_attribute(graphics, "socket");
    if (!state->socket)
        state->socket = xml_attribute(listen, "socket");
    state->port = port_of(graphics, "port");
    state->tls_port = port_of(graphics, "tlsPort");
    state->websocket_port = port_of(graphics, "websocket");
    state->serial = xml_attribute(xml_child(xml_child(devices, "console"), "source"), "path");
}

/* As libvirt has it, but for the password: it refuses a description that differs in anything else. */
static char *
describe(const struct xml_node *graphics, const char *password, const char *valid_to,
         const char *connected)
{
    static const char *const ours[] = { "passwd", "passwdValidTo", "connected", NULL };
    _cleanup_(xml_writer_freep) struct xml_writer *writer = xml_writer_new();

    xml_element(writer, "graphics");
    xml_put_attributes(writer, graphics, ours);
    xml_attr(writer, "passwd", password);
    xml_attr(writer, "passwdValidTo", valid_to);
    xml_attr(writer, "connected", connected);
    for (const struct xml_node *node = xml_first(graphics); node; node = xml_following(node))
        xml_put_copy(writer, node);
    xml_element_end(writer);
    return xml_writer_take(writer);
}

static bool
set_password(struct call *call, virDomainPtr domain, const struct xml_node *graphics,
             struct error **err)
{
    const struct ticket_args *args = call->args;
    struct ticket_state *state = call->state;
    bool vnc = strcmp(state->kind, "vnc") == 0;
    _cleanup_free_ char *xml = NULL;
    time_t until = time(NULL) + (time_t)args->timeout_s;
    char valid_to[32];
    struct tm parts;

    if (vnc && strcmp(args->connected, "keep") != 0)
        return error_param(err, "connected",
                           "must be keep: VNC can do nothing else with who is "
                           "connected");
    if (args->password ? !check_password(args->password, vnc, err)
                       : !make_password(state->made, err))
        return false;
    if (!gmtime_r(&until, &parts) ||
        strftime(valid_to, sizeof(valid_to), "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        return error_set(err, ERROR_INTERNAL, "cannot tell when the ticket ends");
    state->valid_to_ns = (int64_t)until * 1000000000;
    xml = describe(graphics, args->password ? args->password : state->made, valid_to,
                   args->connected);
    return virDomainUpdateDeviceFlags(domain, xml, VIR_DOMAIN_AFFECT_LIVE) == 0 ||
           virt_fail(err, domain, "cannot set the password of the console of '%s'", args->vm.vm);
}

static bool
give_ticket(struct call *call, struct error **err)
{
    const struct ticket_args *args = call->args;
    struct ticket_state *state = call->state;
    _cleanup_(xml_freep) struct xml_document *document = NULL;
    const struct xml_node *devices, *graphics;
    _cleanup_free_ char *xml = NULL;
    virDomainPtr domain;

    if (!vm_domain(call, &domain, err))
        return false;
    xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        return virt_fail(err, domain, "cannot read the description of '%s'", args->vm.vm);
    if (!xml_parse("libvirt", xml, strlen(xml), &document, err))
        return false;
    devices = xml_child(xml_root(document), "devices");
    graphics = find_graphics(devices, args->kind);
    if (!graphics) {
        error_set(err, ERROR_NOT_FOUND, "VM '%s' has no %s console that a password is for",
                  args->vm.vm, args->kind ? args->kind : "vnc or spice");
        error_data_text(err, "kind", "console");
        return error_data_text(err, "id", "%s", args->kind ? args->kind : "vnc");
    }
    if (!state->kind)
        note_place(state, graphics, devices);
    return set_password(call, domain, graphics, err);
}

static void
write_port(struct writer *writer, const char *name, int64_t port)
{
    writer_member_if_known(writer, name, port > 0, (uint64_t)port);
}

static void
write_ticket(struct call *call, const char *password)
{
    const struct ticket_state *state = call->state;
    struct writer *writer = call_result(call);

    writer_object(writer);
    writer_member_string(writer, "vm", virDomainGetName(state->use.domain));
    writer_member_string(writer, "kind", state->kind);
    writer_member_string(writer, "address", state->address);
    write_port(writer, "port", state->port);
    write_port(writer, "tlsPort", state->tls_port);
    write_port(writer, "websocketPort", state->websocket_port);
    writer_member_string(writer, "socket", state->socket);
    writer_member_string(writer, "password", password);
    writer_member_time(writer, "validTo", state->valid_to_ns);
    writer_member_string(writer, "serial", state->serial);
    writer_end_object(writer);
}

static enum outcome
ticket_run(struct call *call)
{
    const struct ticket_state *state = call->state;
    struct error *error = NULL;

    if (!give_ticket(call, &error))
        return vm_fail(call, error);
    write_ticket(call, *state->made ? state->made : NULL);
    return call_complete(call, NULL);
}

/* Right behind the answer, on the loop: the task's status and its end's event have no password. */
static enum outcome
ticket_forget(struct call *call)
{
    struct ticket_state *state = call->state;

    write_ticket(call, NULL);
    explicit_bzero(state->made, sizeof(state->made));
    return call_complete(call, NULL);
}

static void
ticket_done(struct call *call)
{
    struct ticket_state *state = call->state;

    free(TAKE(state->kind));
    free(TAKE(state->address));
    free(TAKE(state->socket));
    free(TAKE(state->serial));
    vm_state_done(call);
}

const struct verb vm_console_verbs[] = {
    {
        .name = "vm.consoleTicket",
        .summary = "Open the screen of a virtual machine to whoever has a password, for a while.",
        .description =
            "The answer tells where its VNC or SPICE server listens on this host and, unless the caller gave one, "
            "the password: there only, for task.status shows the result without it. A ticket replaces the one "
            "before. 'serial' is where its serial console is on this host.",
        .role = ROLE_OPERATOR,
        .kind = VERB_ANSWERS_EARLY,
        .args_size = sizeof(struct ticket_args),
        .params = PARAMS(
            VM_PARAM(ticket_args),
            PARAM(ticket_args, kind, "kind", .type = PARAM_CHOICE,
                  .choices = CHOICES("vnc", "spice"),
                  .about = "Which of its screens' servers; without this, the first."),
            PARAM(ticket_args, password, "password", .type = PARAM_TEXT, .minimum = 1,
                  .maximum = PASSWORD_MAX, .one_line = true,
                  .about = "The password, of 8 characters at most for VNC; without this, one is "
                           "made."),
            PARAM(ticket_args, timeout_s, "timeout", .type = PARAM_INTEGER, .minimum = 1,
                  .maximum = TIMEOUT_MAX, .fallback = "120",
                  .about = "Seconds for which it opens a connection; who is connected stays so."),
            PARAM(ticket_args, connected, "connected", .type = PARAM_CHOICE,
                  .choices = CHOICES("keep", "disconnect", "fail"), .fallback = "\"keep\"",
                  .about = "What becomes of somebody who is connected: is kept, is disconnected, "
                           "or makes this call fail; VNC only keeps.")),
        .result = &ticket_shape,
        .errors = ERRORS(ERROR_NOT_FOUND, ERROR_WRONG_STATE, ERROR_BUSY, ERROR_TIMEOUT,
                         ERROR_BACKEND_UNAVAILABLE, ERROR_BACKEND_FAILED),
        .state_size = sizeof(struct ticket_state),
        .state_done = ticket_done,
        .object = vm_name_object,
        .steps = STEPS(VM_FIND_STEP,
                       { "set the password", ticket_run, .pool = POOL_VIRT, .responds = true },
                       { "forget it", ticket_forget, .pool = POOL_LOOP }),
    },
    { 0 },
};
