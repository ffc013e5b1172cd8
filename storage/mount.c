/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount.nfs does it: it finds the server's address and agrees on a version, which the kernel leaves
 * to it.  It runs under a time limit; the kernel lets it be killed while it waits.
 *
 * Nothing here may wait for ever, so each mount is made with limits of its own (softerr, timeo,
 * retrans), and is taken away lazily: the name is free at once, the rest is the kernel's.
 */
#include <config.h>

#include "storage/mount.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "agent/base/child.h"
#include "agent/base/log.h"
#include "agent/base/name.h"
#include "agent/base/thread.h"

#define MOUNT_PROGRAM "mount.nfs"
#define MOUNT_LIMIT_MS 20000
#define MOUNT_LIST "/proc/self/mountinfo"
#define STACKED_MAX 16           /* mounts on one point, at most; ours are one */
#define WAIT_MAX_DECISECONDS 600 /* an operator's timeo * (retrans + 1) */
#define TEXT_LENGTH_MAX 1024     /* of server, export and options */

/* ---- options ---- */

enum value { VALUE_NONE, VALUE_NUMBER, VALUE_WORD };

static const struct option {
    const char *name;
    enum value value;
    const char *ours; /* what it is when the operator says nothing; NULL: it is not given */
    unsigned minimum, maximum; /* VALUE_NUMBER */
    const char *words;         /* VALUE_WORD: between commas */
    bool fixed;                /* not the operator's to give */
    bool listed;               /* the kernel lists it as it was given */
} option_table[] = {
    { "nosuid", .ours = "nosuid", .fixed = true, .listed = true },
    { "nodev", .ours = "nodev", .fixed = true, .listed = true },
    { "noexec", .ours = "noexec", .fixed = true, .listed = true },
    { "softerr", .ours = "softerr", .fixed = true, .listed = true },
    /* What another host makes, removes or locks is seen at once. */
    { "lookupcache", VALUE_WORD, .ours = "lookupcache=none", .fixed = true, .listed = true },
    { "acdirmin", VALUE_NUMBER, .ours = "acdirmin=0", .fixed = true, .listed = true },
    { "acdirmax", VALUE_NUMBER, .ours = "acdirmax=0", .fixed = true, .listed = true },
    /* One attempt: we try again ourselves. */
    { "retry", VALUE_NUMBER, .ours = "retry=0", .fixed = true },
    { "vers", VALUE_WORD, .ours = "vers=4", .words = ",4,4.0,4.1,4.2," },
    { "timeo", VALUE_NUMBER, .ours = "timeo=50", .minimum = 1, .maximum = 600, .listed = true },
    { "retrans", VALUE_NUMBER, .ours = "retrans=2", .maximum = 10, .listed = true },
    { "ro", .listed = true },
    { "rsize", VALUE_NUMBER, .minimum = 4096, .maximum = 1 << 20 },
    { "wsize", VALUE_NUMBER, .minimum = 4096, .maximum = 1 << 20 },
    { "nconnect", VALUE_NUMBER, .minimum = 1, .maximum = 16 },
    { "port", VALUE_NUMBER, .minimum = 1, .maximum = 65535, .listed = true },
    { "proto", VALUE_WORD, .words = ",tcp,tcp6,rdma,", .listed = true },
    { "sec", VALUE_WORD, .words = ",sys,krb5,krb5i,krb5p,", .listed = true },
    { "noresvport", .listed = true },
    { "nosharecache", .listed = true },
    { "noatime", .listed = true },
};

/* Calls 'each' with every option of "a,b=c": its text, the length of that and of its name. */
static bool
each_option(const char *options,
            bool (*each)(const char *option, size_t length, size_t name_length, void *context,
                         struct error **err),
            void *context, struct error **err)
{
    while (options && *options) {
        size_t length = strcspn(options, ","), name_length = strcspn(options, ",=");

        if (!each(options, length, name_length, context, err))
            return false;
        options += length + (options[length] == ',');
    }
    return true;
}

static const struct option *
find_option(const char *name, size_t length)
{
    for (size_t i = 0; i < ARRAY_COUNT(option_table); i++)
        if (strlen(option_table[i].name) == length &&
            memcmp(option_table[i].name, name, length) == 0)
            return &option_table[i];
    return NULL;
}

static bool
unknown_option(const char *option, struct error **err)
{
    _cleanup_text_ struct text known = TEXT_INIT;

    for (size_t i = 0; i < ARRAY_COUNT(option_table); i++)
        if (!option_table[i].fixed)
            text_printf(&known, "%s%s", known.length ? ", " : "", option_table[i].name);
    return error_param(err, "options",
                       "has '%s': there may be %s; the others are the agent's to choose, for it "
                       "relies on them",
                       option, known.bytes);
}

static bool
parse_number(const char *text, unsigned minimum, unsigned maximum, unsigned *ret_number)
{
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || number < minimum || number > maximum)
        return false;
    *ret_number = (unsigned)number;
    return true;
}

struct waits {
    unsigned timeo, retrans;
    bool seen[ARRAY_COUNT(option_table)];
};

static bool
check_option(const char *text, size_t length, size_t name_length, void *context, struct error **err)
{
    _cleanup_free_ char *given = xstrndup(text, length);
    const struct option *option = find_option(text, name_length);
    const char *value = name_length < length ? given + name_length + 1 : NULL;
    struct waits *waits = context;
    unsigned number = 0;

    if (!option || option->fixed)
        return unknown_option(given, err);
    if (waits->seen[option - option_table])
        return error_param(err, "options", "has '%s' twice", option->name);
    waits->seen[option - option_table] = true;
    if (option->value == VALUE_NONE)
        return !value ||
               error_param(err, "options", "has '%s': '%s' takes no value", given, option->name);
    if (option->value == VALUE_WORD) {
        _cleanup_free_ char *word = xprintf(",%s,", value ? value : "");

        return (value && *value && strstr(option->words, word)) ||
               error_param(err, "options", "has '%s': '%s' must be one of %.*s", given,
                           option->name, (int)strlen(option->words) - 2, option->words + 1);
    }
    if (!value || !parse_number(value, option->minimum, option->maximum, &number))
        return error_param(err, "options", "has '%s': '%s' must be a number from %u to %u", given,
                           option->name, option->minimum, option->maximum);
    if (strcmp(option->name, "timeo") == 0)
        waits->timeo = number;
    if (strcmp(option->name, "retrans") == 0)
        waits->retrans = number;
    return true;
}

static bool
check_options(const char *options, struct error **err)
{
    struct waits waits = { .timeo = 50, .retrans = 2 };

    if (options && strlen(options) > TEXT_LENGTH_MAX)
        return error_param(err, "options", "is longer than %d bytes", TEXT_LENGTH_MAX);
    if (options && *options && options[strlen(options) - 1] == ',')
        return error_param(err, "options", "ends with a comma: options are separated by them");
    if (!each_option(options, check_option, &waits, err))
        return false;
    return waits.timeo * (waits.retrans + 1) <= WAIT_MAX_DECISECONDS ||
           error_param(err, "options",
                       "has timeo=%u and retrans=%u: timeo * (retrans + 1), the tenths of a second "
                       "that a dead server is waited for, must be at most %d",
                       waits.timeo, waits.retrans, WAIT_MAX_DECISECONDS);
}

struct names {
    const char *name;
    bool found;
};

static bool
look_for_name(const char *option, size_t length, size_t name_length, void *context,
              struct error **err)
{
    struct names *names = context;

    (void)length;
    (void)err;
    names->found |=
        strlen(names->name) == name_length && memcmp(names->name, option, name_length) == 0;
    return true;
}

char *
mount_options(const struct repository_place *place)
{
    struct text text = TEXT_INIT;

    for (size_t i = 0; i < ARRAY_COUNT(option_table); i++) {
        const struct option *option = &option_table[i];
        struct names names = { .name = option->name };
        struct error *none = NULL;

        if (option->ours && each_option(place->options, look_for_name, &names, &none) &&
            !names.found)
            text_printf(&text, "%s%s", text.length ? "," : "", option->ours);
    }
    if (place->options && *place->options)
        text_printf(&text, ",%s", place->options);
    return text_take(&text);
}

/* ---- where it is ---- */

/* A host name, or an address; without brackets.  Nothing that a program takes for an option. */
static bool
is_host(const char *server)
{
    struct in6_addr six;

    if (strlen(server) > 253 || !isalnum((unsigned char)*server))
        return strchr(server, ':') && inet_pton(AF_INET6, server, &six) == 1;
    if (strchr(server, ':'))
        return inet_pton(AF_INET6, server, &six) == 1;
    for (const char *at = server; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("-._", *at))
            return false;
    return true;
}

bool
mount_check(const struct repository_place *place, struct error **err)
{
    const char *export = place->export;

    if (!is_host(place->server))
        return error_param(err, "server", "is '%s': it must be a host name or an address",
                           place->server);
    if (*export != '/' || strlen(export) > TEXT_LENGTH_MAX)
        return error_param(err, "export",
                           "is '%s': it must be an absolute path of at most %d bytes", export,
                           TEXT_LENGTH_MAX);
    for (const char *at = export; *at; at++)
        if (iscntrl((unsigned char)*at) || strchr(" \\,#\"'", *at))
            return error_param(err, "export",
                               "is '%s': it must have no blanks, commas, quotes, hashes or "
                               "backslashes",
                               export);
    return check_options(place->options, err);
}

char *
mount_source(const struct repository_place *place)
{
    bool bracketed = strchr(place->server, ':') != NULL;
    size_t length = strlen(place->export);

    while (length > 1 && place->export[length - 1] == '/')
        length--;
    return xprintf("%s%s%s:%.*s", bracketed ? "[" : "", place->server, bracketed ? "]" : "",
                   (int)length, place->export);
}

static char *mount_folder; /* set once, before the workers start */

void
mount_use_folder(const char *folder)
{
    free(mount_folder);
    mount_folder = xstrdup(folder);
}

char *
mount_point(const char *name)
{
    assert(mount_folder);
    return xprintf("%s/%s", mount_folder, name);
}

/* ---- the kernel's list ---- */

void
mount_entry_done(struct mount_entry *entry)
{
    free(entry->point);
    free(entry->type);
    free(entry->source);
    free(entry->options);
    *entry = (struct mount_entry){ 0 };
}

static bool
is_octal(const char *digits)
{
    return strspn(digits, "01234567") >= 3 && *digits <= '3';
}

/* Up to the next blank, with \ooo as the byte that it stands for; '*at' is moved behind it. */
static char *
take_field(const char **at)
{
    size_t length = strcspn(*at, " \n"), used = 0;
    const char *from = *at;
    char *field = xalloc(length + 1);

    for (size_t i = 0; i < length; i++) {
        if (from[i] != '\\' || !is_octal(from + i + 1)) {
            field[used++] = from[i];
            continue;
        }
        field[used++] =
            (char)((from[i + 1] - '0') << 6 | (from[i + 2] - '0') << 3 | (from[i + 3] - '0'));
        i += 3;
    }
    field[used] = '\0';
    *at += length;
    *at += **at == ' ';
    return field;
}

static void
skip_fields(const char **at, unsigned count)
{
    while (count-- > 0) {
        *at += strcspn(*at, " \n");
        *at += **at == ' ';
    }
}

/* "36 35 0:50 / /mnt rw,nosuid shared:1 - nfs4 server:/export rw,vers=4.2,…" */
static void
read_entry(const char *line, struct mount_entry *ret_entry)
{
    _cleanup_free_ char *mount_options = NULL, *system_options = NULL;

    skip_fields(&line, 4);
    ret_entry->point = take_field(&line);
    mount_options = take_field(&line);
    while (*line && *line != '\n' && strncmp(line, "- ", 2) != 0)
        skip_fields(&line, 1);
    skip_fields(&line, 1);
    ret_entry->type = take_field(&line);
    ret_entry->source = take_field(&line);
    system_options = take_field(&line);
    ret_entry->options = xprintf("%s,%s", mount_options, system_options);
}

static const char *
next_line(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

bool
mount_find(const char *text, const char *point, struct mount_entry *ret_entry)
{
    bool found = false;

    for (; *text; text = next_line(text)) {
        struct mount_entry entry = { 0 };

        read_entry(text, &entry);
        if (strcmp(entry.point, point) != 0) {
            mount_entry_done(&entry);
            continue;
        }
        if (found) /* what was mounted later lies on top */
            mount_entry_done(ret_entry);
        *ret_entry = entry;
        found = true;
    }
    return found;
}

static bool
look_for_option(const char *option, size_t length, size_t name_length, void *context,
                struct error **err)
{
    const struct option *known = find_option(option, name_length);
    _cleanup_free_ char *wanted = xprintf(",%.*s,", (int)length, option);

    (void)err;
    return !known || !known->listed || strstr(context, wanted);
}

bool
mount_is_as_wanted(const struct mount_entry *entry, const struct repository_place *place)
{
    _cleanup_free_ char *source = mount_source(place), *wanted = mount_options(place);
    _cleanup_free_ char *listed = xprintf(",%s,", entry->options);
    struct error *none = NULL;

    /* An "nfs" would be of version 3, which carries locks in another way. */
    return strcmp(entry->type, "nfs4") == 0 && strcmp(entry->source, source) == 0 &&
           each_option(wanted, look_for_option, listed, &none) &&
           (strstr(wanted, ",ro") != NULL || !strstr(listed, ",ro,"));
}

static bool
read_list(struct text *ret_text, struct error **err)
{
    _cleanup_close_ int fd = open(MOUNT_LIST, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;

    while (got > 0) {
        got = read(fd, text_reserve(ret_text, 65536), 65536);
        text_grow(ret_text, got > 0 ? (size_t)got : 0);
        if (got < 0 && errno == EINTR)
            got = 1;
    }
    return got == 0 ||
           error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot read '" MOUNT_LIST "'");
}

/* The folder as the kernel lists it, without links; to be freed.  NULL: there is none yet. */
static char *
real_folder(void)
{
    char path[PATH_MAX];

    assert(mount_folder);
    return realpath(mount_folder, path) ? xstrdup(path) : NULL;
}

static bool
find_mount(const char *point, struct mount_entry *ret_entry, bool *ret_found, struct error **err)
{
    _cleanup_free_ char *folder = real_folder(), *listed = NULL;
    _cleanup_text_ struct text text = TEXT_INIT;

    *ret_found = false;
    if (!folder)
        return true;
    if (!read_list(&text, err))
        return false;
    listed = xprintf("%s%s", folder, strrchr(point, '/'));
    *ret_found = text.bytes && mount_find(text.bytes, listed, ret_entry);
    return true;
}

bool
mount_list(char ***ret_names, struct error **err)
{
    _cleanup_free_ char *folder = real_folder();
    _cleanup_text_ struct text text = TEXT_INIT;
    size_t count = 0, length = folder ? strlen(folder) : 0;
    char **names;

    WORKER_ONLY();
    if (folder && !read_list(&text, err))
        return false;
    names = xalloc(sizeof(*names));
    for (const char *line = text.bytes ? text.bytes : ""; *line; line = next_line(line)) {
        struct mount_entry entry = { 0 };

        read_entry(line, &entry);
        if (strncmp(entry.point, folder, length) == 0 && entry.point[length] == '/' &&
            name_valid(entry.point + length + 1)) {
            names = xrealloc(names, (count + 2) * sizeof(*names));
            names[count++] = xstrdup(entry.point + length + 1);
        }
        mount_entry_done(&entry);
    }
    names[count] = NULL;
    *ret_names = names;
    return true;
}

/* ---- mounting ---- */

/* Whether its server answers: it is asked, and not what the kernel remembers. */
static bool
is_alive(const char *point)
{
    _cleanup_close_ int fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct statfs space;

    return fd >= 0 && fstatfs(fd, &space) == 0;
}

static bool
make_point(const char *point, struct error **err)
{
    if (mkdir(mount_folder, 0755) < 0 && errno != EEXIST)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot make '%s'",
                           mount_folder);
    if (mkdir(point, 0755) < 0 && errno != EEXIST)
        return error_errno(err, ERROR_REPOSITORY_UNAVAILABLE, errno, "cannot make '%s'", point);
    return true;
}

/* The last thing that mount.nfs said is the reason. */
static bool
run_mount(const char *source, const char *point, const char *options, struct error **err)
{
    const char *const argv[] = { MOUNT_PROGRAM, source, point, "-o", options, NULL };
    const struct child_limits limits = { .timeout_ms = MOUNT_LIMIT_MS, .output_size = 65536 };
    _cleanup_text_ struct text output = TEXT_INIT;

    if (child_run(argv, -1, &limits, &output, err))
        return true;
    if ((*err)->code != ERROR_BACKEND_UNAVAILABLE)
        (*err)->code = ERROR_REPOSITORY_UNAVAILABLE;
    return error_wrap(err, "cannot mount '%s'", source);
}

bool
mount_attach(const struct repository_place *place, const char *point, struct error **err)
{
    _cleanup_free_ char *source = mount_source(place), *options = mount_options(place);
    _cleanup_(mount_entry_done) struct mount_entry entry = { 0 };
    bool found;

    WORKER_ONLY();
    if (!find_mount(point, &entry, &found, err))
        return false;
    if (found && mount_is_as_wanted(&entry, place) && is_alive(point)) {
        log_debug("'%s' is mounted on '%s' already", source, point);
        return true;
    }
    if (found && !mount_detach(point, false, err))
        return false;
    return make_point(point, err) && run_mount(source, point, options, err);
}

bool
mount_detach(const char *point, bool force, struct error **err)
{
    WORKER_ONLY();
    for (unsigned i = 0; i < STACKED_MAX; i++)
        if (umount2(point, MNT_DETACH | UMOUNT_NOFOLLOW | (force ? MNT_FORCE : 0)) < 0) {
            if (errno != EINVAL && errno != ENOENT)
                return error_errno(err, ERROR_BACKEND_FAILED, errno, "cannot unmount '%s'", point);
            (void)rmdir(point); /* what is left of it does no harm */
            return true;
        }
    return error_set(err, ERROR_BACKEND_FAILED, "more than %d mounts lie on '%s'", STACKED_MAX,
                     point);
}
