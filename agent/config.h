/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's settings: command line over configuration file over defaults.
 *
 * The file is INI, read by libinih; every flag has the same name in its [hostlerd] section (or
 * before any section); [limits] holds the limits.  What [repository NAME] sections hold is storage's to
 * know: it is kept as it stands.
 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/log.h"

struct config_line {
    char *key, *value; /* owned; not checked, but that no key comes twice */
    int number;        /* in the file, from 1 */
};

struct config_repository {
    char *name; /* owned; checked */
    int number; /* line of its first setting */
    struct config_line *lines;
    size_t line_count;
    struct config_repository *next;
};

struct limits {
    uint64_t frame_size;               /* bytes of one message; 4 MiB */
    uint64_t json_depth;               /* 64 */
    uint64_t batch_count;              /* requests in a batch; 256 */
    uint64_t connection_tasks;         /* in flight per connection; 1,000 */
    uint64_t connection_subscriptions; /* 64 */
    uint64_t connections;              /* 16,384 */
    uint64_t caller_rate;  /* changing calls a second per caller; 10,000, burst twice that */
    uint64_t copies;       /* copy threads; 4 */
    uint64_t active_tasks; /* in the whole agent; 200,000 */
    uint64_t event_bytes;  /* bytes in the event ring; 64 MiB */
};

struct config {
    char *config_path; /* /etc/hostler/hostlerd.conf */
    char *run_dir;     /* /run/hostler; absolute */
    char *socket_path; /* RUN_DIR/hostlerd.sock */
    char **listen;     /* NULL-terminated ADDR:PORT, loopback only */
    char **tls_listen; /* NULL-terminated */
    char *tls_cert, *tls_key, *tls_ca;
    char *token_file;          /* or NULL */
    char **origins;            /* NULL-terminated */
    char *name;                /* host name */
    char *libvirt_uri;         /* "none": do not use it */
    char *gluster;             /* auto, none */
    unsigned workers;          /* 8 */
    unsigned task_retention_s; /* 600 */
    unsigned task_history;     /* 100,000 */
    unsigned event_ring;       /* events remembered; 65,536 */
    enum log_level log_level;  /* info */
    bool print_openrpc;        /* --print-openrpc: print the document and leave */
    struct limits limits;
    struct config_repository *repositories;
};

/* '*ret_exit' is set to a status >= 0 when --help or --version was answered: leave with it. */
bool config_load(int argc, char **argv, struct config **ret_config, int *ret_exit,
                 struct error **err) _must_check_;
void config_free(struct config *config);
DEFINE_CLEANUP(struct config, config_free)
/* One flag a row: for --help, the manual's check, and the parser itself. */
struct config_flag {
    const char *name, *value, *about;
};
const struct config_flag *config_flag_at(unsigned n);

/* One of [limits] a row: name in the file, and in host.info. */
struct config_limit {
    const char *name, *wire_name, *about;
    size_t offset; /* in struct limits */
    uint64_t fallback, minimum, maximum;
};
const struct config_limit *config_limit_at(unsigned n);
uint64_t config_limit_value(const struct config *config, unsigned n);

#endif
