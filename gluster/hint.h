/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hints that something of glusterd's has changed: reasons to ask it, and no more than that.
 *
 * Two sources, both silent while nothing happens.  glusterd of every host writes below its working
 * directory when a volume, an option, a brick, a snapshot or a peer changes, whichever host the change came
 * by: inotify tells.  And it, its bricks and its helpers send datagrams to this host's loopback, where
 * glustereventsd would take them: of peers and bricks that come and go, which no file tells.  They are
 * taken only where glustereventsd does not, and are let go when it starts; where it runs, its log is
 * watched instead.  What a datagram says is never believed: anybody on this host may send one.
 */
#ifndef GLUSTER_HINT_H
#define GLUSTER_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/worker.h"

struct agent;

/* What may have changed. */
enum {
    HINT_VOLUMES = 1, /* what they are made of */
    HINT_STATUS = 2,  /* which bricks and services run */
    HINT_PEERS = 4,
    HINT_OPERATIONS = 8, /* rebalances and the like: began, or ended */
    HINT_ALL = 15,
    HINT_SERVER = 16 /* glusterd's socket was made */
};

enum hint_place {
    PLACE_RUN,     /* /run */
    PLACE_VOLUMES, /* below glusterd's working directory */
    PLACE_PEERS,
    PLACE_SNAPSHOTS,
    PLACE_LOG, /* glustereventsd's */
    PLACE_COUNT,
    PLACE_VOLUME /* the directory of one of them */
};

struct watched_fd;

/* Loop only, all of it.  Zeroed but for what the owner sets. */
struct gluster_hints {
    void (*told)(void *context, unsigned hints); /* owner's, as the next two */
    void *context;
    struct agent *agent;
    struct watched_fd *files;        /* private, as all below */
    struct watched_fd *datagrams[2]; /* 127.0.0.1 and ::1 */
    struct timer resume;             /* datagrams are not looked at until then */
    int places[PLACE_COUNT];         /* their watches' numbers, from 1 */
    struct lane lane;
    bool looking, look_again;
    bool server;   /* glustereventsd is about to take its port */
    unsigned port; /* 0: not known yet */
};

void gluster_hints_open(struct gluster_hints *hints);
/* glusterd has just come: its directories may be new. */
void gluster_hints_look(struct gluster_hints *hints);
/* Whether the datagrams of this host's glusterd, bricks and helpers are heard. */
bool gluster_hints_hear(const struct gluster_hints *hints);

/* The port may be free again. */
void gluster_hints_try(struct gluster_hints *hints);

/* For tests: what a datagram hints at ("TIME TYPE TEXT"), and a name that inotify told of at a place. */
unsigned hint_of_datagram(const char *bytes, size_t size);
unsigned hint_of_name(enum hint_place place, const char *name);

#endif
