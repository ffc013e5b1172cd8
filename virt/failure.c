/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/failure.h"

#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/name.h"
#include "agent/base/text.h"
#include "virt/vm.h"

/* The first that fits counts; 'words' NULL fits all. */
struct known_failure {
    int code;
    const char *words;
    enum error_code meaning;
    const char *kind;  /* of NotFound and AlreadyExists */
    const char *needs; /* of WrongState */
};

static const struct known_failure failures[] = {
    { VIR_ERR_NO_DOMAIN, NULL, ERROR_NOT_FOUND, "vm", NULL },
    { VIR_ERR_DOM_EXIST, NULL, ERROR_ALREADY_EXISTS, "vm", NULL },
    { VIR_ERR_OPERATION_FAILED, "already exists with uuid", ERROR_ALREADY_EXISTS, "vm", NULL },
    { VIR_ERR_OPERATION_FAILED, "is already defined with uuid", ERROR_ALREADY_EXISTS, "vm", NULL },
    { VIR_ERR_NO_DOMAIN_CHECKPOINT, NULL, ERROR_NOT_FOUND, "checkpoint", NULL },
    { VIR_ERR_OPERATION_FAILED, "domain moment", ERROR_ALREADY_EXISTS, "checkpoint", NULL },
    /* As after kill -9 of QEMU, which writes its bitmaps to the disk at its end only. */
    { VIR_ERR_CHECKPOINT_INCONSISTENT, NULL, ERROR_WRONG_STATE, NULL,
      "a full backup: the bitmap of that checkpoint is lost" },
    { VIR_ERR_NO_DOMAIN_SNAPSHOT, NULL, ERROR_NOT_FOUND, "snapshot", NULL },
    { VIR_ERR_NO_DOMAIN_BACKUP, NULL, ERROR_NOT_FOUND, "backup", NULL },
    { VIR_ERR_NO_NETWORK, NULL, ERROR_NOT_FOUND, "network", NULL },
    { VIR_ERR_DEVICE_MISSING, NULL, ERROR_NOT_FOUND, "device", NULL },
    { VIR_ERR_OPERATION_INVALID, "not running", ERROR_WRONG_STATE, NULL, "a running VM" },
    { VIR_ERR_OPERATION_INVALID, "already running", ERROR_WRONG_STATE, NULL, "a VM that is off" },
    { VIR_ERR_OPERATION_INVALID, "already active", ERROR_WRONG_STATE, NULL, "a VM that is off" },
    { VIR_ERR_MIGRATE_UNSAFE, NULL, ERROR_WRONG_STATE, NULL,
      "disks with cache 'none' or 'directsync' that both hosts share, or 'unsafe'" },
    { VIR_ERR_INTERNAL_ERROR, "to the same host", ERROR_WRONG_STATE, NULL,
      "a target that is another host: 'host_uuid' in its libvirtd.conf tells it apart" },
    { VIR_ERR_OPERATION_INVALID, "post-copy", ERROR_WRONG_STATE, NULL,
      "a migration that is not in post-copy: the VM is on the target already" },
    { VIR_ERR_OPERATION_INVALID, "block job", ERROR_WRONG_STATE, NULL,
      "no block job on the VM's disks" },
    { VIR_ERR_SYSTEM_ERROR, "unable to connect to server", ERROR_BACKEND_UNAVAILABLE, NULL, NULL },
    { VIR_ERR_OPERATION_FAILED, "connect to remote libvirt", ERROR_BACKEND_UNAVAILABLE, NULL,
      NULL },
    { VIR_ERR_SYSTEM_ERROR, "Cannot recv data", ERROR_BACKEND_UNAVAILABLE, NULL, NULL },
    { VIR_ERR_SYSTEM_ERROR, "certificate", ERROR_BACKEND_UNAVAILABLE, NULL, NULL },
    { VIR_ERR_AUTH_FAILED, NULL, ERROR_BACKEND_UNAVAILABLE, NULL, NULL },
    /* the test driver's */
    { VIR_ERR_INTERNAL_ERROR, "not running", ERROR_WRONG_STATE, NULL, "a running VM" },
    { VIR_ERR_INTERNAL_ERROR, "already running", ERROR_WRONG_STATE, NULL, "a VM that is off" },
    /* a tray that the guest has locked, five seconds later */
    { VIR_ERR_OPERATION_FAILED, "waiting to open tray", ERROR_WRONG_STATE, NULL,
      "a guest that lets go of the medium, or 'force'" },
    { VIR_ERR_OPERATION_UNSUPPORTED, "cannot be hotplugged", ERROR_WRONG_STATE, NULL,
      "a VM that is off, or scope config" },
    { VIR_ERR_INTERNAL_ERROR, "does not support hotplugging", ERROR_WRONG_STATE, NULL,
      "a VM that is off, or scope config, or another bus" },
    { VIR_ERR_INTERNAL_ERROR, "No more available PCI slots", ERROR_WRONG_STATE, NULL,
      "a VM with a free PCI slot of that kind" },
    { VIR_ERR_INTERNAL_ERROR, "Could not set password", ERROR_WRONG_STATE, NULL,
      "a console that was defined to have a password" },
    /* QEMU's, while the guest's system has not taken over its cpus */
    { VIR_ERR_INTERNAL_ERROR, "unplug request for not supported device", ERROR_WRONG_STATE, NULL,
      "a guest whose system lets cpus go" },
    { VIR_ERR_INVALID_ARG, "CPU topology", ERROR_WRONG_STATE, NULL,
      "a definition whose topology is of that many cpus" },
    { VIR_ERR_OPERATION_INVALID, "no such screen", ERROR_NOT_FOUND, "screen", NULL },
    { VIR_ERR_OPERATION_INVALID, "no screens", ERROR_NOT_FOUND, "screen", NULL },
    { VIR_ERR_OPERATION_INVALID, "without the balloon device", ERROR_WRONG_STATE, NULL,
      "a VM with a balloon" },
    { VIR_ERR_OPERATION_INVALID, "cgroup", ERROR_WRONG_STATE, NULL,
      "a host that lets libvirt use its control groups" },
    { VIR_ERR_OPERATION_INVALID, NULL, ERROR_WRONG_STATE, NULL, "another state of the VM" },
    { VIR_ERR_OPERATION_TIMEOUT, "state change lock", ERROR_BUSY, NULL, NULL },
    { VIR_ERR_OPERATION_TIMEOUT, NULL, ERROR_TIMEOUT, NULL, NULL },
    { VIR_ERR_AGENT_UNRESPONSIVE, NULL, ERROR_WRONG_STATE, NULL, "a guest agent that answers" },
    { VIR_ERR_AGENT_UNSYNCED, NULL, ERROR_WRONG_STATE, NULL, "a guest agent that answers" },
    { VIR_ERR_RESOURCE_BUSY, NULL, ERROR_BUSY, NULL, NULL },
    { VIR_ERR_BLOCK_COPY_ACTIVE, NULL, ERROR_WRONG_STATE, NULL, "no block job on that disk" },
    { VIR_ERR_OPERATION_ABORTED, NULL, ERROR_TASK_ABORTED, NULL, NULL },
};

/* What some of libvirt 9.0's and QEMU 7.2's words mean: they stand in front of them. */
static const struct plain_words {
    int code;
    const char *words, *plain;
} plain_words[] = {
    { VIR_ERR_SYSTEM_ERROR, "unable to connect to server", "libvirt cannot reach it" },
    { VIR_ERR_OPERATION_FAILED, "connect to remote libvirt", "libvirt cannot reach it" },
    { VIR_ERR_SYSTEM_ERROR, "Cannot recv data", "libvirt cannot reach it" },
    { VIR_ERR_SYSTEM_ERROR, "certificate", "libvirtd has no certificates for it" },
    { VIR_ERR_AUTH_FAILED, "", "its libvirtd does not let this host's in" },
    { VIR_ERR_CPU_INCOMPATIBLE, "", "its cpu lacks what the VM's has" },
    { VIR_ERR_OPERATION_FAILED, "guest CPU doesn't match", "its cpu lacks what the VM's has" },
    { VIR_ERR_INTERNAL_ERROR, "access credentials", "QEMU has no certificate, here or there" },
    { VIR_ERR_INTERNAL_ERROR, "find an available port", "the port is taken there" },
    { VIR_ERR_OPERATION_FAILED, "unused port in range", "all its ports for that are taken" },
};

/* "" or "MEANING: ", to be freed. */
static char *
plainly(int code, const char *words)
{
    for (size_t i = 0; i < ARRAY_COUNT(plain_words); i++)
        if (plain_words[i].code == code && strstr(words, plain_words[i].words))
            return xprintf("%s: ", plain_words[i].plain);
    return xstrdup("");
}

const char *
virt_words(void)
{
    const virError *error = virGetLastError();

    return error && error->message && utf8_valid(error->message, strlen(error->message))
               ? error->message
               : "libvirt does not say why";
}

static const struct known_failure *
find(int code, const char *words)
{
    for (size_t i = 0; i < ARRAY_COUNT(failures); i++)
        if (failures[i].code == code && (!failures[i].words || strstr(words, failures[i].words)))
            return &failures[i];
    return NULL;
}

/* What the VM is now, as vm.status says it; its failure has been taken. */
static const char *
state_of(virDomainPtr domain)
{
    int state, reason;

    return domain && virDomainGetState(domain, &state, &reason, 0) == 0
               ? vm_state_name(vm_state_of(state))
               : "unknown";
}

static void
add_data(struct error **err, const struct known_failure *known, virDomainPtr domain, int code,
         const char *words)
{
    const char *name = domain ? virDomainGetName(domain) : NULL;

    if (known && known->kind) {
        error_data_text(err, "kind", "%s", known->kind);
        if (name) /* which one within it, only the caller knows */
            error_data_text(err, strcmp(known->kind, "vm") == 0 ? "id" : "vm", "%s", name);
    }
    if (known && known->needs) {
        error_data_text(err, "state", "%s", state_of(domain));
        error_data_text(err, "needs", "%s", known->needs);
    }
    if (known && known->meaning == ERROR_BUSY)
        error_data_number(err, "retryAfterMs", 1000);
    if (!known || !known->needs)
        error_data_text(err, "backend", "libvirt");
    if (known && known->meaning == ERROR_BACKEND_UNAVAILABLE)
        error_data_text(err, "reason", "%s", words);
    error_data_number(err, "code", code);
    error_data_text(err, "text", "%s", words);
}

static _Thread_local struct failure {
    int code;
    char *words; /* owned; NULL: none is kept */
} kept;

void
virt_failure_keep(void)
{
    free(kept.words);
    kept = (struct failure){ .code = virGetLastErrorCode(), .words = xstrdup(virt_words()) };
}

static bool
tell(struct error **err, const struct failure *failure, virConnectPtr connect, virDomainPtr domain,
     const char *what)
{
    const struct known_failure *known = find(failure->code, failure->words);
    _cleanup_free_ char *plain = plainly(failure->code, failure->words);

    if (connect && virConnectIsAlive(connect) != 1) {
        error_set(err, ERROR_BACKEND_UNAVAILABLE, "%s: the connection to libvirt was lost: %s",
                  what, failure->words);
        error_data_text(err, "backend", "libvirt");
        return error_data_text(err, "reason", "%s", failure->words);
    }
    error_set(err, known ? known->meaning : ERROR_BACKEND_FAILED, "%s: %s%s", what, plain,
              failure->words);
    add_data(err, known, domain, failure->code, failure->words);
    return false;
}

bool
virt_fail_as_kept(struct error **err, virConnectPtr connect, virDomainPtr domain,
                  const char *format, ...)
{
    struct failure failure = kept;
    _cleanup_text_ struct text what = TEXT_INIT;
    va_list arguments;

    kept.words = NULL;
    va_start(arguments, format);
    text_vprintf(&what, format, arguments);
    va_end(arguments);
    if (!connect && domain)
        connect = virDomainGetConnect(domain);
    (void)tell(err, &failure, connect, domain, what.bytes);
    free(failure.words);
    return false;
}

bool
virt_missing(struct error **err, const char *vm)
{
    error_set(err, ERROR_NOT_FOUND, "there is no VM '%s': vm.list tells which there are", vm);
    error_data_text(err, "kind", "vm");
    return error_data_text(err, "id", "%s", vm);
}

bool
virt_missing_device(struct error **err, const char *vm, const char *kind, const char *id)
{
    error_set(err, ERROR_NOT_FOUND, "VM '%s' has no %s '%s': vm.status tells which it has", vm,
              kind, id);
    error_data_text(err, "kind", "%s", kind);
    return error_data_text(err, "id", "%s", id);
}

bool
virt_unavailable(struct error **err, const char *reason)
{
    error_set(err, ERROR_BACKEND_UNAVAILABLE, "libvirt is not there: %s", reason);
    error_data_text(err, "backend", "libvirt");
    return error_data_text(err, "reason", "%s", reason);
}
