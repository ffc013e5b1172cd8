/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table of settings, from which the command line, the file and --help come.
 */
#include <config.h>

#include "agent/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/name.h"

#define DEFAULT_FILE HOSTLER_SYSCONFDIR "/hostlerd.conf"

enum kind { KIND_TEXT, KIND_PATH, KIND_LIST, KIND_NUMBER, KIND_LEVEL, KIND_ACTION };

struct setting {
    struct config_flag flag;
    enum kind kind;
    size_t offset; /* in struct config */
    uint64_t minimum, maximum;
};

#define SETTING(name, value, what, member, ...)                                                    \
    {                                                                                              \
        .flag = { name, value, __VA_ARGS__ }, .kind = what,                                        \
        .offset = offsetof(struct config, member)                                                  \
    }
#define NUMBER(name, value, member, low, high, about_text)                                         \
    {                                                                                              \
        .flag = { name, value, about_text }, .kind = KIND_NUMBER,                                  \
        .offset = offsetof(struct config, member), .minimum = low, .maximum = high                 \
    }

static const struct setting settings[] = {
    SETTING("config", "FILE", KIND_PATH, config_path, "read this file instead of " DEFAULT_FILE),
    SETTING("run-dir", "DIR", KIND_PATH, run_dir,
            "where the agent keeps what it has at run time (/run/hostler)"),
    SETTING("socket", "PATH", KIND_PATH, socket_path, "the unix socket (RUN-DIR/hostlerd.sock)"),
    SETTING("listen", "ADDR:PORT", KIND_LIST, listen,
            "serve TCP on a loopback address, with tokens; port 0 picks one"),
    SETTING("tls-listen", "ADDR:PORT", KIND_LIST, tls_listen,
            "serve TLS, to clients with a certificate of the CA"),
    SETTING("tls-cert", "FILE", KIND_PATH, tls_cert, "certificate of --tls-listen"),
    SETTING("tls-key", "FILE", KIND_PATH, tls_key, "its key"),
    SETTING("tls-ca", "FILE", KIND_PATH, tls_ca, "the CA whose clients may come in"),
    SETTING("token-file", "FILE", KIND_PATH, token_file,
            "lines 'ROLE TOKEN' for --listen, mode 0600"),
    SETTING("origin", "ORIGIN", KIND_LIST, origins,
            "a web origin whose pages may connect, beside the server's own"),
    SETTING("name", "NAME", KIND_TEXT, name, "the agent's name (the host's name)"),
    SETTING("libvirt", "URI|none", KIND_TEXT, libvirt_uri, "libvirt connection (qemu:///system)"),
    SETTING("gluster", "auto|none", KIND_TEXT, gluster, "whether to look for glusterd (auto)"),
    NUMBER("workers", "N", workers, 1, 256, "threads for blocking steps (8)"),
    NUMBER("task-retention", "SECONDS", task_retention_s, 0, 31536000,
           "how long ended tasks are remembered (600)"),
    NUMBER("task-history", "N", task_history, 0, 10000000, "how many of them at most (100000)"),
    NUMBER("event-ring", "N", event_ring, 16, 16777216,
           "how many events are kept for those who come back (65536)"),
    SETTING("log-level", "LEVEL", KIND_LEVEL, log_level,
            "error, warning, notice, info or debug (info)"),
    SETTING("print-openrpc", NULL, KIND_ACTION, print_openrpc,
            "print the OpenRPC document of all verbs and leave"),
    SETTING("version", NULL, KIND_ACTION, print_openrpc, "print the version and leave"),
    SETTING("help", NULL, KIND_ACTION, print_openrpc, "print this and leave"),
};

#define LIMIT(limit_name, wire, member, value, low, high, about_text)                              \
    {                                                                                              \
        limit_name, wire, about_text, offsetof(struct limits, member), value, low, high            \
    }

static const struct config_limit limit_table[] = {
    LIMIT("frame-size", "frameSize", frame_size, 4 << 20, 1024, 1 << 30, "bytes of one message"),
    LIMIT("json-depth", "jsonDepth", json_depth, 64, 4, 512, "nesting of a message"),
    LIMIT("batch-count", "batchCount", batch_count, 256, 1, 10000, "requests in a batch"),
    LIMIT("connection-tasks", "connectionTasks", connection_tasks, 1000, 1, 1000000,
          "calls in flight on a connection"),
    LIMIT("connection-subscriptions", "connectionSubscriptions", connection_subscriptions, 64, 1,
          10000, "subscriptions of a connection"),
    LIMIT("connections", "connections", connections, 16384, 1, 1000000, "connections at once"),
    LIMIT("caller-rate", "callerRate", caller_rate, 10000, 1, 10000000,
          "changing calls a second of one caller; twice as many in a burst"),
    LIMIT("copies", "copies", copies, 4, 1, 64, "copies that run at once"),
    LIMIT("active-tasks", "activeTasks", active_tasks, 200000, 1, 10000000,
          "tasks that run at once"),
    LIMIT("event-bytes", "eventBytes", event_bytes, 64 << 20, 65536, UINT64_C(1) << 40,
          "bytes of events kept"),
};

const struct config_flag *
config_flag_at(unsigned n)
{
    return n < ARRAY_COUNT(settings) ? &settings[n].flag : NULL;
}

const struct config_limit *
config_limit_at(unsigned n)
{
    return n < ARRAY_COUNT(limit_table) ? &limit_table[n] : NULL;
}

uint64_t
config_limit_value(const struct config *config, unsigned n)
{
    return *(const uint64_t *)(const void *)((const char *)&config->limits + limit_table[n].offset);
}

static void *
member_of(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static bool
parse_number(const char *what, const char *value, uint64_t minimum, uint64_t maximum,
             uint64_t *ret_number, struct error **err)
{
    char *end;
    unsigned long long number;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || number < minimum || number > maximum)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' of '%s' is not right: it must be a number from %llu to %llu", value,
                         what, (unsigned long long)minimum, (unsigned long long)maximum);
    *ret_number = number;
    return true;
}

static void
append_list(char ***list, const char *value)
{
    size_t count = 0;

    while (*list && (*list)[count])
        count++;
    *list = xrealloc(*list, (count + 2) * sizeof(**list));
    (*list)[count] = xstrdup(value);
    (*list)[count + 1] = NULL;
}

static bool
set_value(struct config *config, const struct setting *setting, const char *value,
          struct error **err)
{
    const char *name = setting->flag.name;
    uint64_t number;

    switch (setting->kind) {
    case KIND_PATH: {
        char **path = member_of(config, setting);
        char folder[PATH_MAX];

        if (!*value)
            return error_set(err, ERROR_INVALID_PARAMS, "'%s' is empty: it must be a path", name);
        if (*value != '/' && !getcwd(folder, sizeof(folder)))
            return error_errno(err, ERROR_INVALID_PARAMS, errno,
                               "cannot tell the present folder for '%s'", name);
        free(*path);
        *path = *value == '/' ? xstrdup(value) : xprintf("%s/%s", folder, value);
        return true;
    }
    case KIND_TEXT:
        free(*(char **)member_of(config, setting));
        *(char **)member_of(config, setting) = xstrdup(value);
        return true;
    case KIND_LIST: append_list(member_of(config, setting), value); return true;
    case KIND_NUMBER:
        if (!parse_number(name, value, setting->minimum, setting->maximum, &number, err))
            return false;
        *(unsigned *)member_of(config, setting) = (unsigned)number;
        return true;
    case KIND_LEVEL:
        if (!log_level_parse(value, member_of(config, setting)))
            return error_set(
                err, ERROR_INVALID_PARAMS,
                "'%s' is no log level: it must be error, warning, notice, info or debug", value);
        return true;
    case KIND_ACTION: break;
    }
    return error_set(err, ERROR_INVALID_PARAMS, "'%s' stands on the command line only", name);
}

static const struct setting *
find_setting(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++)
        if (strcmp(settings[i].flag.name, name) == 0)
            return &settings[i];
    return NULL;
}

/* ---- the file ---- */

struct file {
    struct config *config;
    const bool *given; /* settings of the command line, which win */
    struct error *error;
    FILE *stream;
    int line; /* the one that was read last, from 1 */
};

static struct config_repository *
find_repository(struct file *file, const char *name)
{
    struct config_repository **place = &file->config->repositories;

    while (*place && strcmp((*place)->name, name) != 0)
        place = &(*place)->next;
    if (!*place) {
        *place = xalloc(sizeof(**place));
        (*place)->name = xstrdup(name);
        (*place)->number = file->line;
    }
    return *place;
}

static bool
take_repository(struct file *file, const char *name, const char *key, const char *value,
                struct error **err)
{
    struct config_repository *repository;
    size_t count;

    if (!name_check("repository", name, err))
        return false;
    repository = find_repository(file, name);
    count = repository->line_count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(repository->lines[i].key, key) == 0)
            return error_set(err, ERROR_INVALID_PARAMS, "[repository %s] has two '%s'", name, key);
    repository->lines = xrealloc(repository->lines, (count + 1) * sizeof(repository->lines[0]));
    repository->lines[count] =
        (struct config_line){ .key = xstrdup(key), .value = xstrdup(value), .number = file->line };
    repository->line_count++;
    return true;
}

static bool
take_limit(struct config *config, const char *key, const char *value, struct error **err)
{
    for (size_t i = 0; i < ARRAY_COUNT(limit_table); i++) {
        const struct config_limit *limit = &limit_table[i];

        if (strcmp(limit->name, key) == 0)
            return parse_number(key, value, limit->minimum, limit->maximum,
                                (uint64_t *)(void *)((char *)&config->limits + limit->offset), err);
    }
    return error_set(err, ERROR_INVALID_PARAMS, "[limits] has no '%s': see hostlerd.conf(5)", key);
}

static bool
take_line(struct file *file, const char *section, const char *key, const char *value,
          struct error **err)
{
    const struct setting *setting;

    if (strncmp(section, "repository ", 11) == 0)
        return take_repository(file, section + 11 + strspn(section + 11, " "), key, value, err);
    if (strcmp(section, "limits") == 0)
        return take_limit(file->config, key, value, err);
    if (*section && strcmp(section, "hostlerd") != 0)
        return error_set(
            err, ERROR_INVALID_PARAMS,
            "there is no section [%s]: there are [hostlerd], [limits] and [repository NAME]",
            section);
    setting = find_setting(key);
    if (!setting || setting->kind == KIND_ACTION || strcmp(key, "config") == 0)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "there is no setting '%s': see hostlerd.conf(5)", key);
    if (file->given[setting - settings])
        return true;
    return set_value(file->config, setting, value, err);
}

static int
handle_line(void *context, const char *section, const char *key, const char *value)
{
    struct file *file = context;

    return file->error || take_line(file, section, key, value ? value : "", &file->error);
}

/* fgets() that counts: the library tells no line numbers to who handles a line. */
static char *
read_line(char *line, int size, void *context)
{
    struct file *file = context;

    file->line++;
    return fgets(line, size, file->stream);
}

static bool
read_file(struct config *config, const bool *given, bool required, struct error **err)
{
    FILE *stream = fopen(config->config_path, "re");
    struct file file = { .config = config, .given = given, .stream = stream };
    int line;

    if (!stream && errno == ENOENT && !required)
        return true;
    if (!stream)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot read '%s'",
                           config->config_path);
    line = ini_parse_stream(read_line, &file, handle_line, &file);
    (void)fclose(stream);
    if (line == 0 && !file.error)
        return true;
    if (file.error)
        *err = file.error;
    else
        error_set(err, ERROR_INVALID_PARAMS, "not a line 'name = value', nor a [section]");
    return error_wrap(err, "%s:%d", config->config_path, line);
}

/* ---- the whole ---- */

static void
print_help(void)
{
    puts("Usage: hostlerd [FLAG]...\n"
         "The Hostler host agent: drives images, tasks and events by JSON-RPC over WebSocket.\n");
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        const struct config_flag *flag = &settings[i].flag;
        _cleanup_free_ char *left =
            xprintf("--%s%s%s", flag->name, flag->value ? " " : "", flag->value ? flag->value : "");

        printf("  %-26s %s\n", left, flag->about);
    }
    puts("\nEach has the same name in the configuration file; the command line wins.\n"
         "Manual: hostlerd(8), hostlerd.conf(5).  Client: hostler(1).");
}

static bool
parse_command_line(int argc, char **argv, struct config *config, bool *given, int *ret_exit,
                   struct error **err)
{
    struct option options[ARRAY_COUNT(settings) + 1] = { 0 };
    int found, which = 0;

    for (size_t i = 0; i < ARRAY_COUNT(settings); i++)
        options[i] =
            (struct option){ settings[i].flag.name,
                             settings[i].flag.value ? required_argument : no_argument, NULL, 1 };
    optind = 0;
    opterr = 0;
    while ((found = getopt_long(argc, argv, ":h", options, &which)) != -1) {
        const struct setting *setting = &settings[which];

        if (found == ':')
            return error_set(err, ERROR_INVALID_PARAMS, "'%s' needs a value: try --help",
                             argv[optind - 1]);
        if (found == '?')
            return error_set(err, ERROR_INVALID_PARAMS, "there is no flag '%s': try --help",
                             argv[optind - 1]);
        if (found == 'h' || strcmp(setting->flag.name, "help") == 0) {
            print_help();
            *ret_exit = 0;
        } else if (strcmp(setting->flag.name, "version") == 0) {
            puts(PACKAGE_STRING);
            *ret_exit = 0;
        } else if (setting->kind == KIND_ACTION) {
            config->print_openrpc = true;
        } else {
            given[which] = true;
            if (!set_value(config, setting, optarg, err))
                return error_wrap(err, "--%s", setting->flag.name);
        }
    }
    if (optind < argc)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' is no flag: try --help", argv[optind]);
    return true;
}

/* 'address' is ADDR:PORT or [ADDR]:PORT; without TLS only this machine may be served. */
static bool
check_address(const char *flag, const char *address, bool loopback_only, struct error **err)
{
    const char *colon = strrchr(address, ':');
    _cleanup_free_ char *host = NULL;
    struct in_addr four;
    struct in6_addr six;
    uint64_t port;
    bool loopback;

    if (!colon || !parse_number(flag, colon + 1, 0, 65535, &port, err)) {
        if (*err)
            return false;
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' of '%s' must be ADDRESS:PORT", address,
                         flag);
    }
    host = *address == '[' && colon[-1] == ']'
               ? xstrndup(address + 1, (size_t)(colon - address) - 2)
               : xstrndup(address, (size_t)(colon - address));
    if (inet_pton(AF_INET, host, &four) == 1)
        loopback = ntohl(four.s_addr) >> 24 == 127;
    else if (inet_pton(AF_INET6, host, &six) == 1)
        loopback = IN6_IS_ADDR_LOOPBACK(&six);
    else
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' of '%s' is no numeric address", host,
                         flag);
    if (loopback_only && !loopback)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "'%s' is not of this machine alone: use --tls-listen for other addresses",
                         address);
    return true;
}

static bool
check_whole(struct config *config, struct error **err)
{
    for (char **address = config->listen; address && *address; address++)
        if (!check_address("listen", *address, true, err))
            return false;
    for (char **address = config->tls_listen; address && *address; address++)
        if (!check_address("tls-listen", *address, false, err))
            return false;
    if (config->tls_listen && (!config->tls_cert || !config->tls_key || !config->tls_ca))
        return error_set(err, ERROR_INVALID_PARAMS,
                         "--tls-listen needs --tls-cert, --tls-key and --tls-ca");
    if (strcmp(config->gluster, "auto") != 0 && strcmp(config->gluster, "none") != 0)
        return error_set(err, ERROR_INVALID_PARAMS, "'%s' of 'gluster' must be auto or none",
                         config->gluster);
    if (strlen(config->socket_path) > 107)
        return error_set(err, ERROR_INVALID_PARAMS,
                         "the socket path '%s' is longer than 107 characters: choose a "
                         "shorter --run-dir or --socket",
                         config->socket_path);
    return true;
}

static void
set_defaults(struct config *config)
{
    char name[HOST_NAME_MAX + 1] = "localhost";

    (void)gethostname(name, sizeof(name) - 1);
    config->config_path = xstrdup(DEFAULT_FILE);
    config->run_dir = xstrdup("/run/hostler");
    config->name = xstrdup(name);
    config->libvirt_uri = xstrdup("qemu:///system");
    config->gluster = xstrdup("auto");
    config->workers = 8;
    config->task_retention_s = 600;
    config->task_history = 100000;
    config->event_ring = 65536;
    config->log_level = LOG_LEVEL_INFO;
    for (size_t i = 0; i < ARRAY_COUNT(limit_table); i++)
        *(uint64_t *)(void *)((char *)&config->limits + limit_table[i].offset) =
            limit_table[i].fallback;
}

bool
config_load(int argc, char **argv, struct config **ret_config, int *ret_exit, struct error **err)
{
    _cleanup_(config_freep) struct config *config = xalloc(sizeof(*config));
    bool given[ARRAY_COUNT(settings)] = { false };

    *ret_exit = -1;
    set_defaults(config);
    if (!parse_command_line(argc, argv, config, given, ret_exit, err))
        return false;
    if (*ret_exit < 0 && !config->print_openrpc) {
        if (!read_file(config, given, given[0], err))
            return false;
        if (!config->socket_path)
            config->socket_path = xprintf("%s/hostlerd.sock", config->run_dir);
        if (!check_whole(config, err))
            return false;
    }
    *ret_config = TAKE(config);
    return true;
}

void
config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        if (settings[i].kind == KIND_TEXT || settings[i].kind == KIND_PATH)
            free(*(char **)member_of(config, &settings[i]));
        if (settings[i].kind == KIND_LIST)
            strings_free(*(char ***)member_of(config, &settings[i]));
    }
    while (config->repositories) {
        struct config_repository *repository = config->repositories;

        config->repositories = repository->next;
        for (size_t i = 0; i < repository->line_count; i++) {
            free(repository->lines[i].key);
            free(repository->lines[i].value);
        }
        free(repository->lines);
        free(repository->name);
        free(repository);
    }
    free(config);
}
