/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "gluster/heal.h"

#include <string.h>

#include "gluster/command.h"

/* glfsheal would look at the million entries of three bricks for most of an hour: nobody waits so long. */
#define TIMEOUT_S 60
/* More are counted and not listed: gluster would print each of them. */
#define LISTED_MAX 100000
/* Names in an answer: it has to stay below a frame's 1 MiB. */
#define NAMES_SIZE_MAX (400U * 1024)

const struct shape heal_brick_shape = {
    .name = "HealBrick",
    .schema =
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"brick\",\"peer\","
        "\"connected\",\"entries\",\"pending\",\"splitBrain\",\"healing\",\"files\",\"truncated\"],"
        "\"properties\":{\"brick\":{\"type\":\"string\"},\"peer\":{\"type\":[\"string\",\"null\"]},"
        "\"connected\":{\"type\":\"boolean\"},\"entries\":{\"type\":[\"integer\",\"null\"]},"
        "\"pending\":{\"type\":[\"integer\",\"null\"]},"
        "\"splitBrain\":{\"type\":[\"integer\",\"null\"]},"
        "\"healing\":{\"type\":[\"integer\",\"null\"]},\"files\":{\"type\":\"array\",\"items\":"
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"path\",\"gfid\"],"
        "\"properties\":{\"path\":{\"type\":[\"string\",\"null\"]},\"gfid\":{\"type\":\"string\"}}}},"
        "\"truncated\":{\"type\":\"boolean\"}}}",
};

void
heal_info_done(struct heal_info *info)
{
    for (size_t i = 0; i < info->count; i++) {
        struct heal_brick *brick = &info->bricks[i];

        for (size_t j = 0; j < brick->file_count; j++) {
            free(brick->files[j].path);
            free(brick->files[j].gfid);
        }
        free(brick->files);
        free(brick->name);
    }
    free(info->bricks);
    *info = (struct heal_info){ 0 };
}

bool
heal_check(const struct volume *volume, struct error **err)
{
    if (!volume->replica && !volume->disperse) {
        return error_param(err, "volume",
                           "is a volume without copies, '%s' of type '%s': only replicated and "
                           "dispersed ones are healed",
                           volume->name, volume->type);
    }
    if (strcmp(volume->state, "started") == 0)
        return true;
    error_set(err, ERROR_WRONG_STATE, "volume '%s' is not started: nothing of it can be healed",
              volume->name);
    error_data_text(err, "state", "%s", volume->state);
    return error_data_text(err, "needs", "started");
}

/* ---- reading ---- */

static void
read_files(const struct xml_node *node, size_t limit, size_t *size_left, struct heal_brick *brick)
{
    for (XML_EACH(file, node, "file")) {
        const char *path = xml_content(file);

        if (brick->file_count == limit || strlen(path) >= *size_left)
            return;
        *size_left -= strlen(path);
        if (!brick->files)
            brick->files = xalloc(limit * sizeof(brick->files[0]));
        brick->files[brick->file_count++] = (struct heal_file){
            /* "<gfid:...>": only this is known */
            .path = path[0] == '/' ? xstrdup(path) : NULL,
            .gfid = xml_attribute(file, "gfid"),
        };
    }
}

static void
read_brick(const struct xml_node *node, size_t limit, size_t *size_left, struct heal_brick *brick)
{
    brick->name = xstrdup(xml_text(node, "name"));
    /* Of one that is not, 10.3 writes the next element's name into this one. */
    brick->connected = strcmp(xml_text(node, "status"), "Connected") == 0;
    if (!brick->connected)
        return;
    brick->split_known = xml_number(node, "totalNumberOfEntries", &brick->entries);
    if (!brick->split_known)
        brick->entries = xml_count(node, "numberOfEntries");
    brick->pending = xml_count(node, "numberOfEntriesInHealPending");
    brick->split_brain = xml_count(node, "numberOfEntriesInSplitBrain");
    brick->healing = xml_count(node, "numberOfEntriesPossiblyHealing");
    read_files(node, limit, size_left, brick);
}

bool
heal_info_read(const struct xml_document *document, size_t limit, size_t size,
               struct heal_info *ret_info, struct error **err)
{
    const struct xml_node *parent = xml_child(xml_child(xml_root(document), "healInfo"), "bricks");
    struct heal_info info = { 0 };
    size_t n = 0;

    if (!parent)
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer describes no healing");
    for (XML_EACH(node, parent, "brick"))
        info.count++;
    info.bricks = xalloc((info.count + 1) * sizeof(info.bricks[0]));
    for (XML_EACH(node, parent, "brick"))
        read_brick(node, limit, &size, &info.bricks[n++]);
    *ret_info = info;
    return true;
}

static size_t
count_lines(const char *words, const char *start)
{
    size_t count = 0;

    for (const char *line = words; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        count += strncmp(line, start, strlen(start)) == 0;
    }
    return count;
}

bool
heal_info_read_counts(const char *words, struct heal_info *ret_info, struct error **err)
{
    static const char name_start[] = "Brick ", count_start[] = "Number of entries: ";
    size_t count = count_lines(words, name_start);
    struct heal_info info = { .bricks = xalloc((count + 1) * sizeof(info.bricks[0])) };
    struct heal_brick *brick = NULL;

    if (count == 0) {
        free(info.bricks);
        return error_set(err, ERROR_BACKEND_FAILED, "gluster's answer counts nothing to heal");
    }
    for (const char *line = words; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name_start, strlen(name_start)) == 0) {
            line += strlen(name_start);
            brick = &info.bricks[info.count++];
            brick->name = xstrndup(line, strcspn(line, "\n"));
        } else if (brick && strncmp(line, count_start, strlen(count_start)) == 0) {
            char *end;

            line += strlen(count_start);
            brick->entries = strtoull(line, &end, 10);
            brick->connected = end != line && *line != '-';
        }
    }
    *ret_info = info;
    return true;
}

/* ---- asking ---- */

static bool
ask(const struct volume *volume, const char *what, size_t limit, const atomic_bool *abort,
    struct heal_info *ret_info, struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "heal", volume->name, "info", what),
        .kind = "volume",
        .id = volume->name,
        .timeout_s = TIMEOUT_S,
        .abort = abort,
    };
    _cleanup_(xml_freep) struct xml_document *document = NULL;

    return gluster_command_run(&command, &document, err) &&
           heal_info_read(document, limit, NAMES_SIZE_MAX, ret_info, err);
}

bool
heal_info_ask(const struct volume *volume, const atomic_bool *abort, struct heal_info *ret_info,
              struct error **err)
{
    return ask(volume, "summary", 0, abort, ret_info, err);
}

static bool
ask_counts(const struct volume *volume, const atomic_bool *abort, struct heal_info *ret_info,
           struct error **err)
{
    const struct gluster_command command = {
        .arguments = GLUSTER_ARGUMENTS("volume", "heal", volume->name, "statistics", "heal-count"),
        .kind = "volume",
        .id = volume->name,
        .abort = abort,
    };
    _cleanup_text_ struct text words = TEXT_INIT;

    return gluster_command_run_words(&command, &words, err) &&
           heal_info_read_counts(words.length ? words.bytes : "", ret_info, err);
}

bool
heal_info_ask_fast(const struct volume *volume, const atomic_bool *abort,
                   struct heal_info *ret_info, struct error **err)
{
    return volume->replica ? ask_counts(volume, abort, ret_info, err)
                           : heal_info_ask(volume, abort, ret_info, err);
}

static const struct heal_brick *
find_brick(const struct heal_info *info, const char *name)
{
    for (size_t i = 0; i < info->count; i++)
        if (strcmp(info->bricks[i].name, name) == 0)
            return &info->bricks[i];
    return NULL;
}

uint64_t
heal_info_total(const struct heal_info *info, const struct volume *volume, bool *ret_complete)
{
    uint64_t set_size = volume->replica ? volume->replica : volume->disperse;
    uint64_t total = 0, most = 0;

    *ret_complete = true;
    for (uint64_t i = 0; i < volume->brick_count; i++) {
        const struct heal_brick *brick = find_brick(info, volume->bricks[i].name);

        if (set_size && i % set_size == 0) {
            total += most;
            most = 0;
        }
        if (!brick || !brick->connected)
            *ret_complete = false;
        else if (brick->entries > most)
            most = brick->entries;
    }
    return total + most;
}

/* ---- the question ---- */

/* What a subject says: "VOLUME LIMIT KIND"; a volume's name has no blank. */
struct wish {
    char *volume; /* owned */
    size_t limit;
    bool split_brain;
};

char *
heal_subject(const char *volume, size_t limit, bool split_brain)
{
    return xprintf("%s %zu %s", volume, limit, split_brain ? "split-brain" : "all");
}

static void
wish_read(const char *subject, struct wish *ret_wish)
{
    const char *limit = strchr(subject, ' ');
    char *kind;

    *ret_wish = (struct wish){ .volume = xstrndup(subject, (size_t)(limit - subject)) };
    ret_wish->limit = strtoul(limit, &kind, 10);
    ret_wish->split_brain = strcmp(kind, " split-brain") == 0;
}

static bool
check_wish(const struct wish *wish, const struct volume *volume, struct error **err)
{
    if (!heal_check(volume, err))
        return false;
    if (!wish->split_brain || volume->replica)
        return true;
    return error_param(err, "splitBrain",
                       "is for replicated volumes only: '%s' is of type '%s', which knows none",
                       volume->name, volume->type);
}

/* Where there are too many to look at, the self-heal daemon's count has to do. */
static bool
count(const struct volume *volume, struct heal_info *ret_info, struct error **err)
{
    struct error *error = NULL;

    if (heal_info_ask(volume, NULL, ret_info, &error))
        return true;
    if (error->code == ERROR_TIMEOUT && volume->replica &&
        heal_info_ask_fast(volume, NULL, ret_info, err)) {
        error_free(error);
        return true;
    }
    error_free(*err);
    *err = error;
    return false;
}

static uint64_t
count_listed(const struct heal_info *info, bool split_brain)
{
    uint64_t count = 0;

    for (size_t i = 0; i < info->count; i++)
        count += split_brain ? info->bricks[i].split_brain : info->bricks[i].entries;
    return count;
}

/* glfsheal tells numbers or names, never both.  Names that no XML can hold (control characters) make its
   answer unreadable: then there are only numbers. */
static void
add_files(const struct wish *wish, const struct volume *volume, struct heal_info *info)
{
    _cleanup_heal_info_ struct heal_info listed = { 0 };
    _cleanup_(error_freep) struct error *error = NULL;
    uint64_t count = count_listed(info, wish->split_brain);

    if (wish->limit == 0 || count == 0 || count > LISTED_MAX ||
        !ask(volume, wish->split_brain ? "split-brain" : NULL, wish->limit, NULL, &listed, &error))
        return;
    for (size_t i = 0; i < info->count; i++) {
        struct heal_brick *brick = &info->bricks[i];

        for (size_t j = 0; j < listed.count; j++)
            if (strcmp(listed.bricks[j].name, brick->name) == 0) {
                brick->files = TAKE(listed.bricks[j].files);
                brick->file_count = listed.bricks[j].file_count;
                listed.bricks[j].file_count = 0;
                break;
            }
    }
}

static void
write_files(const struct heal_brick *brick, struct writer *writer)
{
    writer_key(writer, "files");
    writer_array(writer);
    for (size_t i = 0; i < brick->file_count; i++) {
        writer_object(writer);
        writer_member_string(writer, "path", brick->files[i].path);
        writer_member_string(writer, "gfid", brick->files[i].gfid ? brick->files[i].gfid : "");
        writer_end_object(writer);
    }
    writer_end_array(writer);
}

static void
write_brick(const struct heal_brick *brick, const struct wish *wish, const struct volume *volume,
            struct writer *writer)
{
    bool known = brick->connected && brick->split_known;
    uint64_t count = wish->split_brain ? brick->split_brain : brick->entries;
    int64_t index = volume_brick_find(volume, brick->name);

    writer_object(writer);
    writer_member_string(writer, "brick", brick->name);
    writer_member_string(writer, "peer", index < 0 ? NULL : volume->bricks[index].host_uuid);
    writer_member_bool(writer, "connected", brick->connected);
    writer_member_if_known(writer, "entries", brick->connected, brick->entries);
    writer_member_if_known(writer, "pending", known, brick->pending);
    writer_member_if_known(writer, "splitBrain", known, brick->split_brain);
    writer_member_if_known(writer, "healing", known, brick->healing);
    write_files(brick, writer);
    writer_member_bool(writer, "truncated", brick->file_count < count);
    writer_end_object(writer);
}

static bool
ask_heal(const char *subject, struct gluster_items *ret_items, struct error **err)
{
    _cleanup_volumes_ struct volumes volumes = { 0 };
    _cleanup_heal_info_ struct heal_info info = { 0 };
    const struct volume *volume;
    struct wish wish;
    bool counted;

    wish_read(subject, &wish);
    volume = volumes_ask(wish.volume, NULL, &volumes, err) ? volumes.all : NULL;
    counted = volume && check_wish(&wish, volume, err) && count(volume, &info, err);
    if (counted)
        add_files(&wish, volume, &info);
    for (size_t i = 0; counted && i < info.count; i++) {
        struct gluster_item *item = gluster_items_add(ret_items);
        _cleanup_writer_ struct writer writer = WRITER_INIT;

        write_brick(&info.bricks[i], &wish, volume, &writer);
        item->id = xstrdup(info.bricks[i].name);
        item->volume = xstrdup(wish.volume);
        item->json = text_take(&writer.text);
    }
    free(wish.volume);
    return counted;
}

const struct gluster_question heal_question = {
    .name = "healing",
    .member = "bricks",
    .ask = ask_heal,
    .slow = true,
};
