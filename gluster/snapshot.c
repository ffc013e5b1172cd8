/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two questions make one answer: "snapshot info" has names, times and states, "snapshot status" has bricks.
 * Of one volume "snapshot status volume NAME" prints nothing at all with --xml (10.3), so that all
 * snapshots are asked for.
 */
#include <config.h>

#include "gluster/snapshot.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "agent/base/clock.h"
#include "gluster/command.h"

static void
snapshot_done(struct volume_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->brick_count; i++) {
        free(snapshot->bricks[i].name);
        free(snapshot->bricks[i].volume_group);
    }
    free(snapshot->bricks);
    free(snapshot->name);
    free(snapshot->uuid);
    free(snapshot->description);
    free(snapshot->volume);
}

void
volume_snapshots_done(struct volume_snapshots *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++)
        snapshot_done(&snapshots->all[i]);
    free(snapshots->all);
    *snapshots = (struct volume_snapshots){ 0 };
}

/* ---- reading ---- */

static size_t
count_children(const struct xml_node *parent, const char *name)
{
    size_t count = 0;

    for (XML_EACH(node, parent, name))
        count++;
    return count;
}

/* "2026-11-21 15:11:26 +0000", or, from before glusterd told its time zone, without that. */
static int64_t
read_time(const char *text)
{
    struct tm tm = { 0 };
    const char *rest = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
    struct tm zone = { 0 };

    if (!rest)
        return 0;
    (void)strptime(rest, " %z", &zone);
    return ((int64_t)timegm(&tm) - zone.tm_gmtoff) * NS_PER_S;
}

/* "1.00g" as LVM writes it, with "<" before what it has rounded up; units are of 1,024. */
static uint64_t
read_size(const char *text)
{
    static const char units[] = "bkmgtpe";
    double value, size;
    const char *unit;
    char *rest;

    if (*text == '<')
        text++;
    value = strtod(text, &rest);
    unit = *rest ? strchr(units, *rest) : NULL;
    if (rest == text || !unit || rest[1])
        return 0;
    size = ldexp(value, 10 * (int)(unit - units));
    return size >= 0 && size < ldexp(1, 63) ? (uint64_t)size : 0;
}

static double
read_percent(const char *text)
{
    char *rest;
    double value = strtod(text, &rest);

    return rest == text || *rest || !isfinite(value) ? (double)NAN : value;
}

static void
read_brick(const struct xml_node *node, struct volume_snapshot_brick *brick)
{
    const char *group = xml_text(node, "volumeGroup");

    *brick = (struct volume_snapshot_brick){
        .name = xstrdup(xml_text(node, "path")),
        .online = strcmp(xml_text(node, "brick_running"), "Yes") == 0,
        .pid = xml_count(node, "pid"),
        .volume_group = *group && strncmp(group, "N/A", 3) != 0 ? xstrdup(group) : NULL,
        .data_percent = read_percent(xml_text(node, "data_percentage")),
        .size = read_size(xml_text(node, "lvSize")),
    };
}

static void
read_bricks(const struct xml_node *statuses, struct volume_snapshot *snapshot)
{
    for (XML_EACH(node, statuses, "snapshot")) {
        const struct xml_node *volume = xml_child(node, "volume");

        if (strcmp(xml_text(node, "uuid"), snapshot->uuid) != 0)
            continue;
        snapshot->bricks =
            xalloc((count_children(volume, "brick") + 1) * sizeof(snapshot->bricks[0]));
        for (XML_EACH(brick, volume, "brick"))
            read_brick(brick, &snapshot->bricks[snapshot->brick_count++]);
        return;
    }
}

static void
read_snapshot(const struct xml_node *node, const struct xml_node *origin,
              struct volume_snapshot *snapshot)
{
    const struct xml_node *volume = xml_child(node, "snapVolume");

    if (!origin) /* asked for those of all volumes: each tells its own */
        origin = xml_child(volume, "originVolume");
    *snapshot = (struct volume_snapshot){
        .name = xstrdup(xml_text(node, "name")),
        .uuid = xstrdup(xml_text(node, "uuid")),
        .description = xstrdup(xml_text(node, "description")),
        .volume = xstrdup(xml_text(origin, "name")),
        .created_ns = read_time(xml_text(node, "createTime")),
        .active = strcmp(xml_text(volume, "status"), "Started") == 0,
        .remaining = xml_count(origin, "snapRemaining"),
    };
}

bool
volume_snapshots_read(const struct xml_document *info, const struct xml_document *status,
                      struct volume_snapshots *ret_snapshots, struct error **err)
{
    const struct xml_node *top = xml_child(xml_root(info), "snapInfo");
    const struct xml_node *parent = xml_child(top, "snapshots");
    const struct xml_node *statuses =
        status ? xml_child(xml_child(xml_root(status), "snapStatus"), "snapshots") : NULL;
    struct volume_snapshots snapshots = { 0 };

    if (!top)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no snapshots");
    snapshots.all = xalloc((count_children(parent, "snapshot") + 1) * sizeof(snapshots.all[0]));
    for (XML_EACH(node, parent, "snapshot")) {
        struct volume_snapshot *snapshot = &snapshots.all[snapshots.count++];

        read_snapshot(node, xml_child(top, "originVolume"), snapshot);
        read_bricks(statuses, snapshot);
    }
    *ret_snapshots = snapshots;
    return true;
}

bool
volume_snapshots_ask(const char *volume, bool bricks, const atomic_bool *abort,
                     struct volume_snapshots *ret_snapshots, struct error **err)
{
    const struct gluster_command info = {
        .arguments = volume ? GLUSTER_ARGUMENTS("snapshot", "info", "volume", volume)
                            : GLUSTER_ARGUMENTS("snapshot", "info"),
        .kind = "volume",
        .id = volume,
        .abort = abort,
    };
    const struct gluster_command status = {
        .arguments = GLUSTER_ARGUMENTS("snapshot", "status"),
        .abort = abort,
    };
    _cleanup_(xml_freep) struct xml_document *infos = NULL, *statuses = NULL;

    return (!bricks || gluster_command_run(&status, &statuses, err)) &&
           gluster_command_run(&info, &infos, err) &&
           volume_snapshots_read(infos, statuses, ret_snapshots, err);
}

/* ---- telling ---- */

static void
write_brick(const struct volume_snapshot_brick *brick, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "brick", brick->name);
    writer_member_bool(writer, "online", brick->online);
    if (brick->pid)
        writer_member_unsigned(writer, "pid", brick->pid);
    if (brick->volume_group)
        writer_member_string(writer, "volumeGroup", brick->volume_group);
    if (!isnan(brick->data_percent))
        writer_member_real(writer, "dataPercent", brick->data_percent);
    if (brick->size)
        writer_member_unsigned(writer, "size", brick->size);
    writer_end_object(writer);
}

void
volume_snapshot_write(const struct volume_snapshot *snapshot, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "snapshot", snapshot->name);
    writer_member_string(writer, "uuid", snapshot->uuid);
    writer_member_string(writer, "volume", snapshot->volume);
    writer_member_string(writer, "description", snapshot->description);
    writer_member_time(writer, "created", snapshot->created_ns);
    writer_member_string(writer, "state", snapshot->active ? "active" : "inactive");
    writer_member_unsigned(writer, "remaining", snapshot->remaining);
    writer_key(writer, "bricks");
    writer_array(writer);
    for (size_t i = 0; i < snapshot->brick_count; i++)
        write_brick(&snapshot->bricks[i], writer);
    writer_end_array(writer);
    writer_end_object(writer);
}

static bool
ask_snapshots(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_snapshots_ struct volume_snapshots snapshots = { 0 };

    if (!volume_snapshots_ask(subject, true, NULL, &snapshots, err))
        return false;
    for (size_t i = 0; i < snapshots.count; i++) {
        struct gluster_item *item = gluster_items_add(ret_items);
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        volume_snapshot_write(&snapshots.all[i], &writer);
        item->id = xstrdup(snapshots.all[i].name);
        item->volume = xstrdup(snapshots.all[i].volume);
        item->json = text_take(&writer.text);
    }
    return true;
}

const struct gluster_question snapshot_question = {
    .name = "snapshots",
    .member = "snapshots",
    .ask = ask_snapshots,
};

/* ---- names ---- */

bool
volume_snapshot_name_check(const char *param, const char *name, struct error **err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    if (strspn(name, allowed) != strlen(name) || !*name || *name == '-')
        return error_param(err, param,
                           "must be of letters, digits, '-' and '_', as glusterd wants it: '%s'",
                           name);
    /* "snapshot delete all" deletes every snapshot there is. */
    if (strcmp(name, "all") == 0 || strcmp(name, "volume") == 0)
        return error_param(err, param, "must not be '%s', which gluster takes for something else",
                           name);
    return true;
}
