/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/status.h"

#include <string.h>
#include <unistd.h>

#include "gluster/command.h"

/* Of a started volume that is left out because another transaction holds it. */
#define TRIES 5
#define TRY_AGAIN_US 200000

#define NUMBER_OR_NULL "{\"type\":[\"integer\",\"null\"]}"
#define TEXT_OR_NULL "{\"type\":[\"string\",\"null\"]}"

const struct shape volume_status_shape = {
    .name = "VolumeStatus",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"volume\",\"type\",\"state\","
        "\"capacity\",\"free\",\"bricks\",\"services\",\"tasks\"],\"properties\":{"
        "\"volume\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},"
        "\"state\":{\"enum\":[\"created\",\"started\",\"stopped\"]},"
        "\"capacity\":" NUMBER_OR_NULL ",\"free\":" NUMBER_OR_NULL
        ",\"bricks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
        "\"required\":[\"brick\",\"online\",\"port\",\"pid\",\"capacity\",\"free\",\"inodes\",\"freeInodes\","
        "\"device\",\"fileSystem\",\"mountOptions\",\"arbiter\",\"peer\"],\"properties\":{"
        "\"brick\":{\"type\":\"string\"},\"online\":{\"type\":[\"boolean\",\"null\"]},"
        "\"port\":" NUMBER_OR_NULL ",\"pid\":" NUMBER_OR_NULL ",\"capacity\":" NUMBER_OR_NULL
        ",\"free\":" NUMBER_OR_NULL ",\"inodes\":" NUMBER_OR_NULL ",\"freeInodes\":" NUMBER_OR_NULL
        ",\"device\":" TEXT_OR_NULL ",\"fileSystem\":" TEXT_OR_NULL
        ",\"mountOptions\":" TEXT_OR_NULL ",\"arbiter\":{\"type\":\"boolean\"},"
        "\"peer\":{\"type\":\"string\"}}}},"
        "\"services\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
        "\"required\":[\"service\",\"host\",\"online\",\"port\",\"pid\",\"peer\"],\"properties\":{"
        "\"service\":{\"type\":\"string\"},\"host\":{\"type\":\"string\"},"
        "\"online\":{\"type\":\"boolean\"},\"port\":" NUMBER_OR_NULL ",\"pid\":" NUMBER_OR_NULL
        ",\"peer\":{\"type\":\"string\"}}}},"
        "\"tasks\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
        "\"required\":[\"task\",\"kind\",\"state\"],\"properties\":{\"task\":{\"type\":\"string\"},"
        "\"kind\":{\"type\":\"string\"},\"state\":{\"type\":\"string\"}}}}}}",
};

/* ---- reading ---- */

void
statuses_begin(struct statuses *statuses, struct volumes *volumes)
{
    *statuses = (struct statuses){ .volumes = *volumes };
    *volumes = (struct volumes){ 0 };
    statuses->all = xalloc((statuses->volumes.count + 1) * sizeof(statuses->all[0]));
    for (size_t i = 0; i < statuses->volumes.count; i++) {
        struct volume_status *status = &statuses->all[i];

        status->volume = &statuses->volumes.all[i];
        status->bricks = xalloc((status->volume->brick_count + 1) * sizeof(status->bricks[0]));
        if (strcmp(status->volume->state, "started") == 0)
            continue;
        for (uint64_t n = 0; n < status->volume->brick_count; n++)
            status->bricks[n].online = ONLINE_NO;
    }
}

static void
volume_status_done(struct volume_status *status)
{
    for (uint64_t i = 0; i < status->volume->brick_count; i++) {
        free(status->bricks[i].device);
        free(status->bricks[i].file_system);
        free(status->bricks[i].mounted);
    }
    for (size_t i = 0; i < status->service_count; i++) {
        free(status->services[i].host);
        free(status->services[i].peer);
    }
    for (size_t i = 0; i < status->task_count; i++) {
        free(status->tasks[i].id);
        free(status->tasks[i].kind);
        free(status->tasks[i].state);
    }
    free(status->bricks);
    free(status->services);
    free(status->tasks);
}

void
statuses_done(struct statuses *statuses)
{
    for (size_t i = 0; statuses->all && i < statuses->volumes.count; i++)
        volume_status_done(&statuses->all[i]);
    free(statuses->all);
    volumes_done(&statuses->volumes);
    *statuses = (struct statuses){ 0 };
}

static struct volume_status *
find_volume(const struct statuses *statuses, const char *name)
{
    for (size_t i = 0; i < statuses->volumes.count; i++)
        if (strcmp(statuses->volumes.all[i].name, name) == 0)
            return &statuses->all[i];
    return NULL;
}

/* "N/A" and the pid -1 are no numbers. */
static uint64_t
number(const struct xml_node *node, const char *name)
{
    return xml_count(node, name);
}

static void
replace_text(char **text, const struct xml_node *node, const char *name)
{
    const char *told = xml_text(node, name);

    if (!*told || strcmp(told, "N/A") == 0)
        return;
    free(*text);
    *text = xstrdup(told);
}

static void
read_brick(const struct xml_node *node, struct brick_status *brick)
{
    uint64_t capacity = number(node, "sizeTotal"), inodes = number(node, "inodesTotal");

    brick->online = number(node, "status") == 1 ? ONLINE_YES : ONLINE_NO;
    brick->port = number(node, "port");
    brick->process = number(node, "pid");
    if (capacity) {
        brick->capacity = capacity;
        brick->free = number(node, "sizeFree");
    }
    if (inodes) {
        brick->inodes = inodes;
        brick->free_inodes = number(node, "inodesFree");
    }
    replace_text(&brick->device, node, "device");
    replace_text(&brick->file_system, node, "fsName");
    replace_text(&brick->mounted, node, "mntOptions");
}

static const char *
service_name(const char *told)
{
    static const struct {
        const char *told, *name;
    } services[] = {
        { "Self-heal Daemon", "selfHeal" }, { "Quota Daemon", "quota" },
        { "Snapshot Daemon", "snapshot" },  { "Bitrot Daemon", "bitrot" },
        { "Scrubber Daemon", "scrubber" },  { "NFS Server", "nfs" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(services); i++)
        if (strcmp(services[i].told, told) == 0)
            return services[i].name;
    return "other";
}

/* glusterd calls its own host "localhost" here, which says nothing to another: its bricks have its name. */
static char *
name_of_host(const struct volume *volume, const char *told, const char *peer)
{
    for (uint64_t i = 0; strcmp(told, "localhost") == 0 && i < volume->brick_count; i++) {
        const char *path = strstr(volume->bricks[i].name, ":/");

        if (path && strcmp(volume->bricks[i].host_uuid, peer) == 0)
            return xstrndup(volume->bricks[i].name, (size_t)(path - volume->bricks[i].name));
    }
    return xstrdup(told);
}

static void
add_service(const struct xml_node *node, struct volume_status *status)
{
    const char *peer = xml_text(node, "peerid");

    status->services =
        xrealloc(status->services, (status->service_count + 1) * sizeof(status->services[0]));
    status->services[status->service_count++] = (struct service_status){
        .service = service_name(xml_text(node, "hostname")),
        .host = name_of_host(status->volume, xml_text(node, "path"), peer),
        .peer = xstrdup(peer),
        .online = number(node, "status") == 1,
        .port = number(node, "port"),
        .process = number(node, "pid"),
    };
}

/* A process is a brick's if there is one of its name; else it is a service's. */
static void
read_process(const struct xml_node *node, struct volume_status *status)
{
    const struct volume *volume = status->volume;
    _cleanup_free_ char *name =
        xprintf("%s:%s", xml_text(node, "hostname"), xml_text(node, "path"));

    for (uint64_t i = 0; i < volume->brick_count; i++) {
        if (strcmp(volume->bricks[i].name, name) == 0) {
            read_brick(node, &status->bricks[i]);
            return;
        }
    }
    if (xml_text(node, "path")[0] != '/') /* a brick that came since: the next answer has it */
        add_service(node, status);
}

/* "Remove brick" as we write it: "remove-brick". */
static char *
plain(const char *told)
{
    char *copy = xstrdup(told);

    for (char *at = copy; *at; at++) {
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
        else if (*at == ' ')
            *at = '-';
    }
    return copy;
}

static void
add_task(const struct xml_node *node, struct volume_status *status)
{
    status->tasks = xrealloc(status->tasks, (status->task_count + 1) * sizeof(status->tasks[0]));
    status->tasks[status->task_count++] = (struct volume_task){
        .id = xstrdup(xml_text(node, "id")),
        .kind = plain(xml_text(node, "type")),
        .state = plain(xml_text(node, "statusStr")),
    };
}

bool
statuses_read(struct statuses *statuses, const struct xml_document *document, struct error **err)
{
    const struct xml_node *parent =
        xml_child(xml_child(xml_root(document), "volStatus"), "volumes");

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED,
                         "gluster's answer describes no status of volumes");
    for (XML_EACH(volume, parent, "volume")) {
        struct volume_status *status = find_volume(statuses, xml_text(volume, "volName"));

        if (!status)
            continue;
        status->told = true;
        for (XML_EACH(node, volume, "node"))
            read_process(node, status);
        for (XML_EACH(node, xml_child(volume, "tasks"), "task"))
            add_task(node, status);
    }
    return true;
}

/* ---- space ---- */

/* As devices of one name are one; but those of tmpfs and the like all have one name. */
static bool
share_a_file_system(const struct volume *volume, const struct brick_status *bricks, uint64_t one,
                    uint64_t other)
{
    const struct brick_status *a = &bricks[one], *b = &bricks[other];

    if (!a->device || !b->device || strcmp(a->device, b->device) != 0 ||
        strcmp(volume->bricks[one].host_uuid, volume->bricks[other].host_uuid) != 0)
        return false;
    return a->device[0] == '/' || (a->capacity == b->capacity && a->inodes == b->inodes);
}

static uint64_t
count_sharers(const struct volume_status *status, uint64_t brick)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < status->volume->brick_count; i++)
        if (i == brick || share_a_file_system(status->volume, status->bricks, i, brick))
            count++;
    return count;
}

/* The smallest of the set that begins at 'first'.  An offline brick is left out: its file system may not
   be mounted, and what is told then is of the one below. */
static bool
smallest(const struct volume_status *status, uint64_t first, uint64_t count, uint64_t *ret_capacity,
         uint64_t *ret_free)
{
    bool found = false;

    for (uint64_t i = first; i < first + count; i++) {
        const struct brick_status *brick = &status->bricks[i];
        uint64_t sharers;

        if (status->volume->bricks[i].arbiter || brick->online != ONLINE_YES || !brick->capacity)
            continue;
        sharers = count_sharers(status, i);
        if (!found || brick->capacity / sharers < *ret_capacity)
            *ret_capacity = brick->capacity / sharers;
        if (!found || brick->free / sharers < *ret_free)
            *ret_free = brick->free / sharers;
        found = true;
    }
    return found;
}

bool
volume_status_space(const struct volume_status *status, uint64_t *ret_capacity, uint64_t *ret_free)
{
    const struct volume *volume = status->volume;
    uint64_t set = volume->disperse ? volume->disperse : volume->replica ? volume->replica : 1;
    uint64_t data =
        volume->disperse > volume->redundancy ? volume->disperse - volume->redundancy : 1;
    uint64_t capacity = 0, free_size = 0;

    if (volume->brick_count == 0 || volume->brick_count % set != 0)
        return false;
    for (uint64_t first = 0; first < volume->brick_count; first += set) {
        uint64_t of_set = 0, free_of_set = 0;

        if (!smallest(status, first, set, &of_set, &free_of_set))
            return false;
        capacity += of_set * data;
        free_size += free_of_set * data;
    }
    *ret_capacity = capacity;
    *ret_free = free_size;
    return true;
}

/* ---- writing ---- */

static void
write_brick(const struct brick *brick, const struct brick_status *status, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "brick", brick->name);
    if (status->online == ONLINE_UNKNOWN)
        writer_member_null(writer, "online");
    else
        writer_member_bool(writer, "online", status->online == ONLINE_YES);
    writer_member_if_known(writer, "port", status->port, status->port);
    writer_member_if_known(writer, "pid", status->process, status->process);
    writer_member_if_known(writer, "capacity", status->capacity, status->capacity);
    writer_member_if_known(writer, "free", status->capacity, status->free);
    writer_member_if_known(writer, "inodes", status->inodes, status->inodes);
    writer_member_if_known(writer, "freeInodes", status->inodes, status->free_inodes);
    writer_member_string(writer, "device", status->device);
    writer_member_string(writer, "fileSystem", status->file_system);
    writer_member_string(writer, "mountOptions", status->mounted);
    writer_member_bool(writer, "arbiter", brick->arbiter);
    writer_member_string(writer, "peer", brick->host_uuid);
    writer_end_object(writer);
}

static void
write_service(const struct service_status *service, struct writer *writer)
{
    writer_object(writer);
    writer_member_string(writer, "service", service->service);
    writer_member_string(writer, "host", service->host);
    writer_member_bool(writer, "online", service->online);
    writer_member_if_known(writer, "port", service->port, service->port);
    writer_member_if_known(writer, "pid", service->process, service->process);
    writer_member_string(writer, "peer", service->peer);
    writer_end_object(writer);
}

static void
write_lists(const struct volume_status *status, struct writer *writer)
{
    writer_key(writer, "bricks");
    writer_array(writer);
    for (uint64_t i = 0; i < status->volume->brick_count; i++)
        write_brick(&status->volume->bricks[i], &status->bricks[i], writer);
    writer_end_array(writer);
    writer_key(writer, "services");
    writer_array(writer);
    for (size_t i = 0; i < status->service_count; i++)
        write_service(&status->services[i], writer);
    writer_end_array(writer);
    writer_key(writer, "tasks");
    writer_array(writer);
    for (size_t i = 0; i < status->task_count; i++) {
        writer_object(writer);
        writer_member_string(writer, "task", status->tasks[i].id);
        writer_member_string(writer, "kind", status->tasks[i].kind);
        writer_member_string(writer, "state", status->tasks[i].state);
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

void
volume_status_write(const struct volume_status *status, struct writer *writer)
{
    uint64_t capacity = 0, free_size = 0;
    bool known = volume_status_space(status, &capacity, &free_size);

    writer_object(writer);
    writer_member_string(writer, "volume", status->volume->name);
    writer_member_string(writer, "type", status->volume->type);
    writer_member_string(writer, "state", status->volume->state);
    writer_member_if_known(writer, "capacity", known, capacity);
    writer_member_if_known(writer, "free", known, free_size);
    write_lists(status, writer);
    writer_end_object(writer);
}

void
volume_status_write_missing(const struct volume_status *status, struct writer *writer)
{
    bool started = strcmp(status->volume->state, "started") == 0;

    writer_array(writer);
    for (uint64_t i = 0; started && i < status->volume->brick_count; i++)
        if (status->bricks[i].online != ONLINE_YES)
            writer_string(writer, status->volume->bricks[i].name);
    writer_end_array(writer);
}

/* ---- asking ---- */

static bool
add_answer(struct statuses *statuses, const char *volume, const char *detail, struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "status", volume, detail),
        .kind = "volume",
        .id = volume,
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    return gluster_command_run(&command, &document, err) && statuses_read(statuses, document, err);
}

/* Asked for all, glusterd 10 leaves out, on standard error and with success, each volume that somebody
   else's transaction holds at that moment: another host's question about it is enough. */
static void
ask_for_left_out(struct statuses *statuses, const struct volume_status *status)
{
    const char *name = status->volume->name;

    for (unsigned i = 0; i < TRIES; i++) {
        struct error *error = NULL;

        if (add_answer(statuses, name, NULL, &error)) {
            if (!add_answer(statuses, name, "detail", &error))
                error_free(error); /* its space stays unknown */
            return;
        }
        if (error->code != ERROR_BUSY) {
            error_free(error); /* it has just been stopped, or is gone */
            return;
        }
        error_free(error);
        (void)usleep(TRY_AGAIN_US);
    }
}

static bool
statuses_ask(struct statuses *ret_statuses, struct error **err)
{
    _cleanup_volumes_ struct volumes volumes = { 0 };
    _cleanup_statuses_ struct statuses statuses = { 0 };

    if (!volumes_ask(NULL, NULL, &volumes, err))
        return false;
    statuses_begin(&statuses, &volumes);
    if (statuses.volumes.count &&
        (!add_answer(&statuses, "all", NULL, err) || !add_answer(&statuses, "all", "detail", err)))
        return false;
    for (size_t i = 0; i < statuses.volumes.count; i++)
        if (!statuses.all[i].told && strcmp(statuses.volumes.all[i].state, "started") == 0)
            ask_for_left_out(&statuses, &statuses.all[i]);
    *ret_statuses = statuses;
    statuses = (struct statuses){ 0 };
    return true;
}

static bool
ask_status(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_statuses_ struct statuses statuses = { 0 };

    (void)subject;
    if (!statuses_ask(&statuses, err))
        return false;
    for (size_t i = 0; i < statuses.volumes.count; i++) {
        struct gluster_item *item = gluster_items_add(ret_items);
        _cleanup_writer_ struct writer writer = WRITER_INIT, missing = WRITER_INIT;

        volume_status_write(&statuses.all[i], &writer);
        volume_status_write_missing(&statuses.all[i], &missing);
        item->id = xstrdup(statuses.volumes.all[i].name);
        item->volume = xstrdup(statuses.volumes.all[i].name);
        item->json = text_take(&writer.text);
        item->essence = text_take(&missing.text);
    }
    return true;
}

const struct gluster_question status_question = {
    .name = "status",
    .member = "volumes",
    .of_each_volume = true,
    .ask = ask_status,
};
