/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main(): puts the agent together, in the order in which its parts need each other, and runs it.
 *
 * There is no way out: the agent ends by dying, whatever the signal, and starting is all the
 * recovery there is.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/backend.h"
#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/config.h"
#include "agent/host-figures.h"
#include "agent/loop.h"
#include "agent/sampling.h"
#include "agent/snapshot.h"
#include "agent/task.h"
#include "agent/worker.h"
#include "events/ring.h"
#include "gluster/gluster.h"
#include "rpc/server.h"
#include "storage/storage.h"
#include "virt/virt.h"

/* Held by the process until it dies: one agent a run-time directory. */
static bool
lock_run_dir(const char *path, struct error **err)
{
    _cleanup_free_ char *file = xprintf("%s/lock", path);
    char holder[32] = "";
    int fd;

    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return error_errno(err, ERROR_INVALID_PARAMS, errno,
                           "cannot make the run-time directory '%s'", path);
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno,
                           "cannot use the run-time directory '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t size = read(fd, holder, sizeof(holder) - 1);

        holder[size > 0 ? size : 0] = '\0';
        (void)close(fd);
        return error_set(
            err, ERROR_ALREADY_EXISTS,
            "another agent (process %s) uses the run-time directory '%s': end it, or choose another "
            "--run-dir",
            holder, path);
    }
    (void)snprintf(holder, sizeof(holder), "%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, holder, strlen(holder)) < 0)
        log_warning("cannot note the process in '%s', going on", file);
    return true; /* 'fd' is left open on purpose */
}

static void
prepare_process(void)
{
    struct rlimit files;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD,
                 SIG_DFL); /* ignored by who started us, it would lose children's statuses */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Two arenas are enough for threads that mostly wait for disks, and keep the agent small. */
    (void)mallopt(M_ARENA_MAX, 2);
    /* Before threads: jansson seeds its hash at first use otherwise, which is a race. */
    json_object_seed(0);
}

static void
settled(void *context)
{
    rpc_ready(context);
}

static bool
run(struct agent *agent, struct host_figures *figures, struct rpc *rpc, struct storage *storage,
    struct gluster *gluster, struct virt *virt, struct error **err)
{
    const struct config *config = agent->config;

    if (!lock_run_dir(config->run_dir, err) || !loop_new(&agent->loop, err))
        return false;
    agent->started_ns = clock_wall_ns();
    uuid_make(agent->instance);
    uuid_of_host(config->name, agent->host_id);
    agent->ring = ring_new(agent->instance, config->event_ring, config->limits.event_bytes);
    agent->workers = workers_new(agent->loop, config->workers, (unsigned)config->limits.copies);
    agent->backends = backends_new(agent);
    agent->snapshots = snapshots_new();
    agent->samplings = samplings_new(agent);
    agent->tasks = task_table_new(agent, config->task_retention_s, config->task_history);
    if (!rpc_open(rpc, agent, err))
        return false;
    host_figures_open(figures, agent);
    gluster_open(gluster, agent);
    virt_open(virt, agent);
    if (!storage_open(storage, agent, settled, rpc, err))
        return false;
    log_info("%s %s, instance %s, host %s", PACKAGE_STRING, config->name, agent->instance,
             agent->host_id);
    loop_run(agent->loop);
    return error_set(err, ERROR_INTERNAL, "the event loop has ended by itself");
}

int
main(int argc, char **argv)
{
    static struct agent agent;
    struct host_figures *figures = host_figures_new();
    struct rpc *rpc = rpc_new();
    struct storage *storage = storage_new();
    struct gluster *gluster = gluster_new();
    struct virt *virt = virt_new(storage);
    const struct verb_table tables[] = {
        { host_verbs, NULL },
        { host_figure_verbs, figures },
        { task_verbs, NULL },
        { event_verbs, rpc },
        { rpc_verbs, rpc },
        { repository_verbs, storage },
        { image_verbs, storage },
        { image_copy_verbs, storage },
        { image_export_verbs, storage },
        { image_check_verbs, storage },
        { image_snapshot_verbs, storage },
        { image_serve_verbs, storage },
        { image_resize_verbs, storage },
        { image_release_verbs, storage },
        { image_optimize_verbs, storage },
        { image_merge_verbs, storage },
        { ticket_verbs, storage },
        { brick_verbs, gluster },
        { georep_verbs, gluster },
        { heal_verbs, gluster },
        { option_verbs, gluster },
        { peer_verbs, gluster },
        { roll_verbs, gluster },
        { volume_life_verbs, gluster },
        { profile_verbs, gluster },
        { quota_verbs, gluster },
        { top_verbs, gluster },
        { volume_verbs, gluster },
        { status_verbs, gluster },
        { snapshot_verbs, gluster },
        { clone_verbs, gluster },
        { rebalance_verbs, gluster },
        { removal_verbs, gluster },
        { brick_offline_verbs, gluster },
        { vm_read_verbs, virt },
        { vm_define_verbs, virt },
        { vm_undefine_verbs, virt },
        { vm_save_verbs, virt },
        { vm_stats_verbs, virt },
        { vm_life_verbs, virt },
        { backup_left_verbs, virt },
        { backup_verbs, virt },
        { checkpoint_verbs, virt },
        { guest_verbs, virt },
        { vm_jobs_verbs, virt },
        { vm_merge_verbs, virt },
        { vm_move_verbs, virt },
        { vm_settle_verbs, virt },
        { vm_snapshot_verbs, virt },
        { migration_verbs, virt },
        { vm_size_verbs, virt },
        { vm_attach_verbs, virt },
        { vm_detach_verbs, virt },
        { vm_media_verbs, virt },
        { vm_resize_verbs, virt },
        { vm_tune_verbs, virt },
        { vm_console_verbs, virt },
        { vm_screenshot_verbs, virt },
    };
    struct error *error = NULL;
    struct config *config;
    int leave;

    log_open(LOG_LEVEL_INFO);
    if (!config_load(argc, argv, &config, &leave, &error)) {
        log_error("%s", error->message);
        return 2;
    }
    if (leave >= 0)
        return leave;
    if (!storage_configure(storage, config, &error)) {
        log_error("%s", error->message);
        return 2;
    }
    agent.config = config;
    agent.verbs = verb_index_new(tables, ARRAY_COUNT(tables));
    if (config->print_openrpc) {
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        discover_write(agent.verbs, &writer);
        return puts(writer.text.bytes) < 0 || fflush(stdout) != 0;
    }
    log_open(config->log_level);
    prepare_process();
    if (!run(&agent, figures, rpc, storage, gluster, virt, &error))
        log_error("%s", error->message);
    return 1;
}
