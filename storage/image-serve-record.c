/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "storage/image-serve-record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/base/durable.h"
#include "agent/base/json-writer.h"
#include "agent/base/log.h"

#define RECORD_SIZE_MAX 65536
#define SUFFIX ".json"

static const char *const other_files[] = { "sock", "pid" };

/* Set at the start, before there are threads. */
static int folder_fd = -1;
static char *folder_path;

void
serve_record_done(struct serve_record *record)
{
    free(TAKE(record->image));
    free(TAKE(record->uri));
}

bool
serve_open_folder(const char *run_dir, struct error **err)
{
    _cleanup_free_ char *path = xprintf("%s/" SERVE_FOLDER, run_dir);
    _cleanup_close_ int fd = -1;

    /* Who may use a socket in it is told by the socket. */
    if ((mkdir(path, 0755) < 0 && errno != EEXIST) ||
        (fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
        fchmod(fd, 0755) < 0)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot make '%s'", path);
    cleanup_close_fd(&folder_fd);
    free(folder_path);
    folder_fd = TAKE_FD(fd);
    folder_path = TAKE(path);
    return true;
}

bool
serve_path(const char *token, const char *suffix, char **ret_path, struct error **err)
{
    if (folder_fd < 0) {
        error_set(err, ERROR_BACKEND_UNAVAILABLE,
                  "images cannot be served: the run-time directory has no '" SERVE_FOLDER "'");
        error_data_text(err, "backend", "qemu-nbd");
        return error_data_text(err, "reason", "no '" SERVE_FOLDER "' in the run-time directory");
    }
    *ret_path = token ? xprintf("%s/%s.%s", folder_path, token, suffix) : xstrdup(folder_path);
    return true;
}

static char *
name_of(const char *repository, const char *image)
{
    return xprintf("%s-%s" SUFFIX, repository, image);
}

bool
serve_record_write(const struct serve_record *record, struct error **err)
{
    _cleanup_free_ char *name = name_of(record->repository, record->image);
    _cleanup_writer_ struct writer writer = WRITER_INIT;

    writer_object(&writer);
    writer_member_unsigned(&writer, "version", 1);
    writer_member_string(&writer, "repository", record->repository);
    writer_member_string(&writer, "image", record->image);
    writer_member_string(&writer, "token", record->token);
    writer_member_string(&writer, "uri", record->uri);
    writer_member_bool(&writer, "writable", record->writable);
    writer_member_bool(&writer, "tls", record->tls);
    writer_member_integer(&writer, "pid", record->pid);
    writer_member_unsigned(&writer, "started", record->started);
    writer_end_object(&writer);
    return durable_replace(folder_fd, name, writer.text.bytes, writer.text.length, err);
}

bool
serve_record_remove(const struct serve_record *record, struct error **err)
{
    _cleanup_free_ char *name = name_of(record->repository, record->image);

    for (size_t i = 0; i < ARRAY_COUNT(other_files); i++) {
        _cleanup_free_ char *other = xprintf("%s.%s", record->token, other_files[i]);

        if (unlinkat(folder_fd, other, 0) < 0 && errno != ENOENT)
            return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot remove '%s/%s'",
                               folder_path, other);
    }
    return durable_unlink(folder_fd, name, err);
}

static bool
take_members(json_t *root, struct serve_record *ret_record)
{
    const char *repository, *image, *token, *uri;
    json_int_t pid, started;
    int version, writable, tls;

    if (json_unpack(root, "{s:i, s:s, s:s, s:s, s:s, s:b, s:b, s:I, s:I !}", "version", &version,
                    "repository", &repository, "image", &image, "token", &token, "uri", &uri,
                    "writable", &writable, "tls", &tls, "pid", &pid, "started", &started) != 0 ||
        version != 1 || strlen(repository) != UUID_TEXT_SIZE - 1 || !name_valid(repository) ||
        !name_valid(image) || strlen(token) != SERVE_TOKEN_SIZE - 1 || !name_valid(token) ||
        pid < 0 || pid > INT32_MAX || started < 0)
        return false;
    *ret_record = (struct serve_record){ .image = xstrdup(image),
                                         .uri = xstrdup(uri),
                                         .writable = writable,
                                         .tls = tls,
                                         .pid = (pid_t)pid,
                                         .started = (uint64_t)started };
    memcpy(ret_record->repository, repository, UUID_TEXT_SIZE);
    memcpy(ret_record->token, token, SERVE_TOKEN_SIZE);
    return true;
}

static bool
read_record(const char *name, struct serve_record *ret_record, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    json_t *root;
    bool good;

    if (!durable_read(folder_fd, name, RECORD_SIZE_MAX, &text, err))
        return false;
    root = json_loadb(text.bytes, text.length, JSON_REJECT_DUPLICATES, NULL);
    good = root && take_members(root, ret_record);
    json_decref(root);
    return good || error_set(err, ERROR_WRONG_STATE, "'%s/%s' is damaged", folder_path, name);
}

static bool
is_record(const char *name)
{
    size_t length = strlen(name), suffix = strlen(SUFFIX);

    return *name != '.' && length > suffix && strcmp(name + length - suffix, SUFFIX) == 0;
}

bool
serve_record_list(struct serve_record **ret_records, size_t *ret_count, struct error **err)
{
    struct serve_record *records = NULL;
    struct dirent *entry;
    size_t count = 0;
    DIR *folder = opendir(folder_path);

    if (!folder)
        return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot read '%s'", folder_path);
    while ((entry = readdir(folder))) {
        _cleanup_(error_freep) struct error *error = NULL, *ignored = NULL;

        if (!is_record(entry->d_name))
            continue;
        records = xrealloc(records, (count + 1) * sizeof(*records));
        if (read_record(entry->d_name, &records[count], &error)) {
            count++;
            continue;
        }
        log_warning("what is told of a served image is lost: %s, going on", error->message);
        if (durable_error_is_certain(error))
            (void)!durable_unlink(folder_fd, entry->d_name, &ignored);
    }
    (void)closedir(folder);
    *ret_records = records;
    *ret_count = count;
    return true;
}

char *
serve_reason(const char *repository, const char *image)
{
    _cleanup_free_ char *name = name_of(repository, image);
    _cleanup_(error_freep) struct error *ignored = NULL; /* it has just ended */
    _cleanup_(serve_record_done) struct serve_record record = { 0 };

    if (folder_fd < 0 || faccessat(folder_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ||
        !read_record(name, &record, &ignored) || record.pid == 0)
        return NULL;
    return xprintf("served %s at %s", record.writable ? "for writing" : "read-only", record.uri);
}
