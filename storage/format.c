/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/format.h"

#include <jansson.h>
#include <string.h>

#include "agent/base/clock.h"
#include "agent/base/json-writer.h"

#define QCOW2_GRAIN 512 /* bytes */

static const char *const format_names[] = { [IMAGE_RAW] = "raw", [IMAGE_QCOW2] = "qcow2" };

const char *
image_format_name(enum image_format format)
{
    return format_names[format];
}

bool
image_format_parse(const char *name, enum image_format *ret_format)
{
    for (size_t i = 0; i < ARRAY_COUNT(format_names); i++)
        if (strcmp(name, format_names[i]) == 0) {
            *ret_format = (enum image_format)i;
            return true;
        }
    return false;
}

uint64_t
image_format_size(enum image_format format, uint64_t size)
{
    return format == IMAGE_QCOW2 ? (size + QCOW2_GRAIN - 1) / QCOW2_GRAIN * QCOW2_GRAIN : size;
}

const char *
image_record_data(const struct image_record *record)
{
    return record->data ? record->data : FORMAT_DATA;
}

bool
format_names_data(const char *name)
{
    return strcmp(name, FORMAT_DATA) == 0 ||
           (strncmp(name, FORMAT_DATA_PREFIX, strlen(FORMAT_DATA_PREFIX)) == 0 && name_valid(name));
}

void
image_record_done(struct image_record *record)
{
    free(record->base);
    free(record->data);
    free(record->user_data);
    free(record->checksum);
    free(record->checksum_of);
    free(record->damage);
    free(record->snapshot_of);
    free(record->merging);
    free(record->merged_into);
    *record = (struct image_record){ 0 };
}

void
copy_record_done(struct copy_record *record)
{
    free(record->source_repository);
    free(record->source_image);
    free(record->source_path);
    free(record->source_identity);
    free(record->task);
    *record = (struct copy_record){ 0 };
}

void
use_record_done(struct use_record *record)
{
    free(TAKE(record->name));
}

static char *
copy_text(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

bool
image_record_copy(const struct image_record *from, struct image_record *ret_record)
{
    *ret_record = *from;
    ret_record->base = copy_text(from->base);
    ret_record->data = copy_text(from->data);
    ret_record->user_data = copy_text(from->user_data);
    ret_record->checksum = copy_text(from->checksum);
    ret_record->checksum_of = copy_text(from->checksum_of);
    ret_record->damage = copy_text(from->damage);
    ret_record->snapshot_of = copy_text(from->snapshot_of);
    ret_record->merging = copy_text(from->merging);
    ret_record->merged_into = copy_text(from->merged_into);
    return true;
}

/* ---- reading ---- */

/* One file as it is read: the object, its name for messages, and the error code of its faults. */
struct source {
    json_t *object;
    const char *file;
    enum error_code code;
    int version;
};

static void
source_done(struct source *source)
{
    json_decref(source->object);
}

static bool
bad_member(const struct source *source, const char *member, const char *wanted, struct error **err)
{
    return error_set(err, source->code, "'%s' is damaged: its '%s' is not %s", source->file, member,
                     wanted);
}

/* Which version, before anything else: a newer one may look like anything. */
static bool
open_source(const char *text, size_t size, const char *file, int newest, enum error_code code,
            struct source *ret_source, struct error **err)
{
    json_error_t fault;
    json_t *version;

    *ret_source = (struct source){ .file = file, .code = code };
    ret_source->object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &fault);
    if (!ret_source->object)
        return error_set(err, code, "'%s' is damaged: it is not JSON (%s)", file, fault.text);
    version = json_object_get(ret_source->object, "version");
    if (!json_is_integer(version) || json_integer_value(version) < 1)
        return bad_member(ret_source, "version", "a number", err);
    if (json_integer_value(version) > newest)
        return error_set(err, ERROR_REPOSITORY_UNAVAILABLE,
                         "'%s' is of version %lld and this agent knows %d: update the agent", file,
                         (long long)json_integer_value(version), newest);
    ret_source->version = (int)json_integer_value(version);
    return true;
}

static bool
get_text(const struct source *source, const char *member, bool optional, char **ret_text,
         struct error **err)
{
    json_t *value = json_object_get(source->object, member);

    *ret_text = NULL;
    if (optional && (!value || json_is_null(value)))
        return true;
    if (!json_is_string(value))
        return bad_member(source, member, "text", err);
    *ret_text = xstrdup(json_string_value(value));
    return true;
}

/* A name leads to a path, also when it comes from a file. */
static bool
get_name(const struct source *source, const char *member, char **ret_name, struct error **err)
{
    if (!get_text(source, member, true, ret_name, err))
        return false;
    if (!*ret_name || name_valid(*ret_name))
        return true;
    free(TAKE(*ret_name));
    return bad_member(source, member, "a name", err);
}

static bool
get_number(const struct source *source, const char *member, uint64_t *ret_number,
           struct error **err)
{
    json_t *value = json_object_get(source->object, member);

    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bad_member(source, member, "a number", err);
    *ret_number = (uint64_t)json_integer_value(value);
    return true;
}

static bool
get_bool(const struct source *source, const char *member, bool *ret_bool, struct error **err)
{
    json_t *value = json_object_get(source->object, member);

    if (!json_is_boolean(value))
        return bad_member(source, member, "true or false", err);
    *ret_bool = json_is_true(value);
    return true;
}

/* False when it is absent. */
static bool
get_optional_bool(const struct source *source, const char *member, bool *ret_bool,
                  struct error **err)
{
    *ret_bool = false;
    return !json_object_get(source->object, member) || get_bool(source, member, ret_bool, err);
}

static bool
get_time(const struct source *source, const char *member, bool optional, int64_t *ret_time_ns,
         struct error **err)
{
    _cleanup_free_ char *text = NULL;

    *ret_time_ns = 0;
    if (!get_text(source, member, optional, &text, err))
        return false;
    return !text || clock_parse(text, ret_time_ns) || bad_member(source, member, "a time", err);
}

static bool
get_format(const struct source *source, const char *member, enum image_format *ret_format,
           struct error **err)
{
    _cleanup_free_ char *text = NULL;

    if (!get_text(source, member, false, &text, err))
        return false;
    return image_format_parse(text, ret_format) || bad_member(source, member, "raw or qcow2", err);
}

static bool
get_uuid(const struct source *source, const char *member, bool optional,
         char ret_uuid[UUID_TEXT_SIZE], struct error **err)
{
    _cleanup_free_ char *text = NULL;

    ret_uuid[0] = '\0';
    if (!get_text(source, member, optional, &text, err))
        return false;
    if (!text)
        return true;
    if (strlen(text) != UUID_TEXT_SIZE - 1)
        return bad_member(source, member, "a UUID", err);
    memcpy(ret_uuid, text, UUID_TEXT_SIZE);
    return true;
}

bool
repository_record_parse(const char *text, size_t size, struct repository_record *ret_record,
                        struct error **err)
{
    _cleanup_(source_done) struct source source;
    json_t *kind;

    *ret_record = (struct repository_record){ 0 };
    if (!open_source(text, size, FORMAT_REPOSITORY_FILE, FORMAT_VERSION,
                     ERROR_REPOSITORY_UNAVAILABLE, &source, err))
        return false;
    kind = json_object_get(source.object, "hostler");
    if (!json_is_string(kind) || strcmp(json_string_value(kind), "repository") != 0)
        return bad_member(&source, "hostler", "'repository'", err);
    return get_uuid(&source, "uuid", false, ret_record->uuid, err) &&
           get_time(&source, "created", true, &ret_record->created_ns, err);
}

/* In as few digits as say the same numbers: 0.1 stays 0.1, which 17 digits, enough for any, would not
   leave so.  To be freed, or NULL. */
static char *
dump_exactly(const json_t *value)
{
    _cleanup_free_ char *json = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_t *again = json ? json_loads(json, 0, NULL) : NULL;
    bool same = json_equal(value, again);

    json_decref(again);
    return same ? TAKE(json) : json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17));
}

static bool
get_user_data(const struct source *source, char **ret_json, struct error **err)
{
    json_t *value = json_object_get(source->object, "userData");
    char *json;

    *ret_json = NULL;
    if (!value || json_is_null(value))
        return true;
    if (!json_is_object(value))
        return bad_member(source, "userData", "an object", err);
    json = dump_exactly(value);
    if (!json)
        return bad_member(source, "userData", "an object that can be kept", err);
    *ret_json = json;
    return true;
}

/* What version 2 has beside.  In a record of version 1 they mean nothing: an agent that knows only
   that one would go by "data" whatever they say. */
static bool
get_second(const struct source *source, struct image_record *record, struct error **err)
{
    if (!get_text(source, "data", true, &record->data, err) ||
        !get_name(source, "snapshotOf", &record->snapshot_of, err) ||
        !get_optional_bool(source, "resizing", &record->resizing, err) ||
        !get_name(source, "merging", &record->merging, err) ||
        !get_name(source, "mergedInto", &record->merged_into, err) ||
        !get_optional_bool(source, "upload", &record->upload, err))
        return false;
    if (record->data && !format_names_data(record->data))
        return bad_member(source, "data", "'data' or 'data-…'", err);
    if (record->data && strcmp(record->data, FORMAT_DATA) == 0)
        free(TAKE(record->data)); /* so that it needs this version for nothing */
    return true;
}

bool
image_record_parse(const char *text, size_t size, struct image_record *ret_record,
                   struct error **err)
{
    _cleanup_(source_done) struct source source;
    _cleanup_(image_record_done) struct image_record record = { 0 };

    if (!open_source(text, size, FORMAT_IMAGE_FILE, FORMAT_IMAGE_VERSION, ERROR_IMAGE_BROKEN,
                     &source, err) ||
        !get_format(&source, "format", &record.format, err) ||
        !get_number(&source, "size", &record.size, err) ||
        !get_bool(&source, "mutable", &record.mutable, err) ||
        !get_bool(&source, "complete", &record.complete, err) ||
        !get_name(&source, "base", &record.base, err) ||
        !get_number(&source, "generation", &record.generation, err) ||
        !get_time(&source, "created", false, &record.created_ns, err) ||
        !get_user_data(&source, &record.user_data, err) ||
        !get_text(&source, "checksum", true, &record.checksum, err) ||
        !get_time(&source, "checksumTaken", true, &record.checksum_ns, err) ||
        !get_text(&source, "checksumOf", true, &record.checksum_of, err) ||
        !get_text(&source, "damage", true, &record.damage, err) ||
        (source.version >= 2 && !get_second(&source, &record, err)))
        return false;
    *ret_record = record;
    record = (struct image_record){ 0 };
    return true;
}

bool
copy_record_parse(const char *text, size_t size, struct copy_record *ret_record, struct error **err)
{
    _cleanup_(source_done) struct source source;
    _cleanup_(copy_record_done) struct copy_record record = { 0 };

    if (!open_source(text, size, FORMAT_COPY_FILE, FORMAT_VERSION, ERROR_IMAGE_BROKEN, &source,
                     err) ||
        !get_name(&source, "sourceRepository", &record.source_repository, err) ||
        !get_uuid(&source, "sourceUuid", true, record.source_uuid, err) ||
        !get_name(&source, "sourceImage", &record.source_image, err) ||
        !get_text(&source, "sourcePath", true, &record.source_path, err) ||
        !get_format(&source, "sourceFormat", &record.source_format, err) ||
        !get_text(&source, "sourceIdentity", false, &record.source_identity, err) ||
        !get_number(&source, "done", &record.done, err) ||
        !get_number(&source, "total", &record.total, err) ||
        !get_uuid(&source, "host", false, record.host, err) ||
        !get_text(&source, "task", false, &record.task, err) ||
        !get_time(&source, "updated", false, &record.updated_ns, err) ||
        !get_number(&source, "bytesPerSecond", &record.bytes_per_second, err) ||
        !get_bool(&source, "verify", &record.verify, err) ||
        !get_bool(&source, "resumeOnCrash", &record.resume_on_crash, err))
        return false;
    if (record.done > record.total)
        return bad_member(&source, "done", "at most 'total'", err);
    if (!record.source_path == !record.source_image)
        return bad_member(&source, "sourceImage", "there or 'sourcePath', one of the two", err);
    *ret_record = record;
    record = (struct copy_record){ 0 };
    return true;
}

bool
use_record_parse(const char *text, size_t size, struct use_record *ret_record, struct error **err)
{
    _cleanup_(source_done) struct source source;
    _cleanup_(use_record_done) struct use_record record = { 0 };

    if (!open_source(text, size, "use", FORMAT_VERSION, ERROR_IMAGE_BROKEN, &source, err) ||
        !get_uuid(&source, "vm", false, record.vm, err) ||
        !get_uuid(&source, "host", false, record.host, err) ||
        !get_text(&source, "name", false, &record.name, err) ||
        !get_time(&source, "since", false, &record.since_ns, err) ||
        !get_bool(&source, "writable", &record.writable, err) ||
        !get_bool(&source, "shareable", &record.shareable, err))
        return false;
    *ret_record = record;
    record = (struct use_record){ 0 };
    return true;
}

/* ---- names of uses ---- */

#define UUID_LENGTH (UUID_TEXT_SIZE - 1)
#define USE_SUFFIX ".json"

char *
use_name(const char *vm, const char *host)
{
    return xprintf("%s-%s" USE_SUFFIX, vm, host);
}

bool
uuid_text_valid(const char *text)
{
    static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

    for (size_t i = 0; i < sizeof(pattern); i++)
        if (pattern[i] == 'x' ? !text[i] || !strchr("0123456789abcdef", text[i])
                              : text[i] != pattern[i])
            return false;
    return true;
}

bool
use_name_parse(const char *name, char ret_vm[UUID_TEXT_SIZE], char ret_host[UUID_TEXT_SIZE])
{
    if (strlen(name) != 2 * UUID_LENGTH + 1 + strlen(USE_SUFFIX) || name[UUID_LENGTH] != '-' ||
        strcmp(name + 2 * UUID_LENGTH + 1, USE_SUFFIX) != 0)
        return false;
    memcpy(ret_vm, name, UUID_LENGTH);
    memcpy(ret_host, name + UUID_LENGTH + 1, UUID_LENGTH);
    ret_vm[UUID_LENGTH] = ret_host[UUID_LENGTH] = '\0';
    return uuid_text_valid(ret_vm) && uuid_text_valid(ret_host);
}

/* ---- writing ---- */

static void
finish(struct writer *writer, struct text *ret_text)
{
    writer_end_object(writer);
    text_append_char(&writer->text, '\n');
    text_done(ret_text);
    *ret_text = writer->text;
    *writer = WRITER_INIT;
}

void
repository_record_write(const struct repository_record *record, struct text *ret_text)
{
    struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_string(&writer, "hostler", "repository");
    writer_member_integer(&writer, "version", FORMAT_VERSION);
    writer_member_string(&writer, "uuid", record->uuid);
    writer_member_time(&writer, "created", record->created_ns);
    finish(&writer, ret_text);
}

void
image_record_write(const struct image_record *record, struct text *ret_text)
{
    struct writer writer = WRITER_INIT;
    bool second = record->data || record->snapshot_of || record->resizing || record->merging ||
                  record->merged_into || record->upload;

    writer_object(&writer);
    writer_member_integer(&writer, "version", second ? FORMAT_IMAGE_VERSION : FORMAT_VERSION);
    writer_member_string(&writer, "format", image_format_name(record->format));
    writer_member_unsigned(&writer, "size", record->size);
    writer_member_bool(&writer, "mutable", record->mutable);
    writer_member_bool(&writer, "complete", record->complete);
    writer_member_string(&writer, "base", record->base);
    writer_member_unsigned(&writer, "generation", record->generation);
    writer_member_time(&writer, "created", record->created_ns);
    writer_member_json(&writer, "userData", record->user_data ? record->user_data : "{}");
    writer_member_string(&writer, "checksum", record->checksum);
    writer_member_time(&writer, "checksumTaken", record->checksum ? record->checksum_ns : 0);
    writer_member_string(&writer, "checksumOf", record->checksum ? record->checksum_of : NULL);
    writer_member_string(&writer, "damage", record->damage);
    if (second) {
        writer_member_string(&writer, "data", image_record_data(record));
        writer_member_string(&writer, "snapshotOf", record->snapshot_of);
        writer_member_bool(&writer, "resizing", record->resizing);
        writer_member_string(&writer, "merging", record->merging);
        writer_member_string(&writer, "mergedInto", record->merged_into);
        if (record->upload)
            writer_member_bool(&writer, "upload", true);
    }
    finish(&writer, ret_text);
}

void
copy_record_write(const struct copy_record *record, struct text *ret_text)
{
    struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_integer(&writer, "version", FORMAT_VERSION);
    writer_member_string(&writer, "sourceRepository", record->source_repository);
    writer_member_string(&writer, "sourceUuid",
                         record->source_uuid[0] ? record->source_uuid : NULL);
    writer_member_string(&writer, "sourceImage", record->source_image);
    writer_member_string(&writer, "sourcePath", record->source_path);
    writer_member_string(&writer, "sourceFormat", image_format_name(record->source_format));
    writer_member_string(&writer, "sourceIdentity", record->source_identity);
    writer_member_unsigned(&writer, "done", record->done);
    writer_member_unsigned(&writer, "total", record->total);
    writer_member_string(&writer, "host", record->host);
    writer_member_string(&writer, "task", record->task);
    writer_member_time(&writer, "updated", record->updated_ns);
    writer_member_unsigned(&writer, "bytesPerSecond", record->bytes_per_second);
    writer_member_bool(&writer, "verify", record->verify);
    writer_member_bool(&writer, "resumeOnCrash", record->resume_on_crash);
    finish(&writer, ret_text);
}

void
use_record_write(const struct use_record *record, struct text *ret_text)
{
    struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_integer(&writer, "version", FORMAT_VERSION);
    writer_member_string(&writer, "vm", record->vm);
    writer_member_string(&writer, "name", record->name);
    writer_member_string(&writer, "host", record->host);
    writer_member_time(&writer, "since", record->since_ns);
    writer_member_bool(&writer, "writable", record->writable);
    writer_member_bool(&writer, "shareable", record->shareable);
    finish(&writer, ret_text);
}
