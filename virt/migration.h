/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One migration of a VM, as this host knows it, whoever began it.
 *
 * The migration is libvirt's: it goes on when the agent dies.  What lasts of it is a small record in the
 * VM's own <metadata>, which goes over with it: who sent it where, by which rules, and how it ended.  From
 * that, and from what libvirt says, a newborn agent of either host tells the same as the one before; what
 * neither tells is "unknown", never guessed.  Nothing here asks libvirt (virt/migration-watch.h does).
 */
#ifndef VIRT_MIGRATION_H
#define VIRT_MIGRATION_H

#include <libvirt/libvirt.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/json-writer.h"
#include "agent/base/name.h"
#include "agent/verb.h"

enum migration_state {
    MIGRATION_PREPARING, /* libvirt has been asked; nothing has been sent */
    MIGRATION_RUNNING,
    MIGRATION_POSTCOPY, /* the VM runs on the target, and some of its memory is still on the source */
    MIGRATION_INTERRUPTED, /* and their connection broke: it waits for vm.migrate with 'recover' */
    MIGRATION_DONE,
    MIGRATION_FAILED, /* the VM is where it was */
    MIGRATION_ABORTED,
    MIGRATION_UNKNOWN /* the VM went while nobody looked: the other host knows */
};

/* Numbers of libvirt's, by its names; see the table in migration.c. */
#define MIGRATION_FIGURES 29
struct migration_figures {
    uint64_t values[MIGRATION_FIGURES];
    bool known[MIGRATION_FIGURES];
};

struct migration {
    char vm_uuid[UUID_TEXT_SIZE];
    char *vm; /* its name; owned, as all texts here */
    enum migration_state state;
    bool incoming;
    char *id;                   /* a UUID, which both hosts tell; NULL: not begun by an agent */
    char *task;                 /* that began it; or NULL */
    char *source, *source_host; /* name and host id of the agent that began it; or NULL */
    char *target;               /* as vm.migrate was told; or NULL */
    int64_t begun_ns, ended_ns; /* wall clock; 0: not known, or not yet */
    char *note;                 /* what was done meanwhile, or is to be known; or NULL */
    struct error *error;        /* why it failed; owned, or NULL */
    struct migration_figures figures;
    /* The rules of who began it: kept by any agent of the source. */
    bool postcopy;
    int64_t postcopy_after, timeout_s;
    char *on_timeout; /* abort, pause, postcopy; or NULL */
};

void migration_done(struct migration *migration);

bool migration_is_over(enum migration_state state);
const char *migration_state_name(enum migration_state state);

/* ---- figures ---- */

void migration_figures_read(virTypedParameterPtr params, int count,
                            struct migration_figures *ret_figures);
/* By libvirt's name, which must be in the table; 0: not known. */
uint64_t migration_figure(const struct migration_figures *figures, const char *name);
/* Whether anything has been sent, or is known to have to be. */
bool migration_figures_moved(const struct migration_figures *figures);

/* ---- what libvirt says of it ---- */

/* One look at the domain. */
struct migration_look {
    bool gone;                        /* there is no such domain */
    int state, reason;                /* libvirt's */
    bool outgoing, incoming;          /* a job runs */
    struct migration_figures figures; /* of the job that runs outwards */
    bool completed, completed_in;   /* there is a job that ended well, and it was an incoming one */
    struct migration_figures ended; /* its */
};

/*
 * What follows from a look for one that is not over: 'state', and whether its figures are to be taken.
 * A domain that is gone, or off, is left to libvirt's event, which says why ('saw_end' false); where there can be
 * none any more ('late'), it is judged by what is there.
 */
enum migration_state migration_judge(const struct migration *migration,
                                     const struct migration_look *look, bool late);

/* ---- the record ---- */

#define MIGRATION_RECORD_URI "https://hostler.org/migration/1"
#define MIGRATION_RECORD_PREFIX "migration"

/* To be freed. */
char *migration_record_write(const struct migration *migration);
/* As a look without a job shows it, for the host 'host': where the VM runs here and was to leave, it did
   not.  False: there is nothing in it that can be read, or it says nothing of this host. */
bool migration_record_read(const char *xml, const char *host, struct migration *ret_migration);

/* ---- the wire ---- */

void migration_write(const struct migration *migration, struct writer *writer);
extern const struct shape migration_shape;

#endif
