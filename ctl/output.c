/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "agent/base/durable.h"
#include "ctl/result.h"
#include "ctl/visible.h"

bool
output_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

bool
output_colours(int fd)
{
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return output_is_terminal(fd) && !(refused && *refused) &&
           !(terminal && strcmp(terminal, "dumb") == 0);
}

size_t
output_width(int fd)
{
    struct winsize size;

    if (!output_is_terminal(fd))
        return 0;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < 20 ? 20 : size.ws_col;
}

size_t
output_height(int fd)
{
    struct winsize size;

    if (!output_is_terminal(fd))
        return 0;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0)
        return 24;
    return size.ws_row;
}

void
output_json(const json_t *value, bool indented, struct text *text)
{
    _cleanup_free_ char *json =
        json_dumps(value, JSON_ENCODE_ANY | (indented ? JSON_INDENT(2) : JSON_COMPACT));

    visible_append_json(text, json ? json : "null");
    text_append_char(text, '\n');
}

bool
output_result(const struct settings *settings, const json_t *result, struct error **err)
{
    _cleanup_text_ struct text text = TEXT_INIT;
    bool terminal = !settings->output;

    if (settings->json)
        output_json(result, true, &text);
    else
        result_write(result, terminal ? output_width(STDOUT_FILENO) : 0,
                     terminal && output_colours(STDOUT_FILENO), &text);
    return output_text(settings, &text, err);
}

static bool
write_stream(const char *name, const struct text *text, struct error **err)
{
    FILE *file = name ? fopen(name, "we") : stdout;
    bool written;

    if (!file)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot open '%s'", name);
    written = fwrite(text->bytes ? text->bytes : "", 1, text->length, file) == text->length;
    if ((name ? fclose(file) : fflush(file)) == 0 && written)
        return true;
    if (!name && errno == EPIPE) /* whoever read it has seen enough */
        return true;
    return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot write %s",
                       name ? name : "to standard output");
}

/* Whole or not at all: beside it, synced, then renamed over it. */
static bool
replace_file(const char *path, const struct text *text, struct error **err)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *folder = !slash          ? xstrdup(".")
                                  : slash == path ? xstrdup("/")
                                                  : xstrndup(path, (size_t)(slash - path));
    _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *name = slash ? slash + 1 : path;

    if (fd < 0)
        return error_errno(err, ERROR_INVALID_PARAMS, errno, "cannot open folder '%s'", folder);
    if (!*name)
        return error_set(err, ERROR_INVALID_PARAMS, "it names a folder, not a file");
    return durable_replace(fd, name, text->bytes ? text->bytes : "", text->length, err);
}

bool
output_text(const struct settings *settings, const struct text *text, struct error **err)
{
    struct stat status;

    if (!settings->output || strcmp(settings->output, "-") == 0)
        return write_stream(NULL, text, err);
    /* A device or a pipe (/dev/stderr, >(command)) is written to; a rename would replace it. */
    if (stat(settings->output, &status) == 0 && !S_ISREG(status.st_mode) &&
        !S_ISDIR(status.st_mode))
        return write_stream(settings->output, text, err);
    return replace_file(settings->output, text, err) ||
           error_wrap(err, "cannot write the result to '%s'", settings->output);
}

void
output_complain(const char *format, ...)
{
    _cleanup_text_ struct text text = TEXT_INIT, shown = TEXT_INIT;
    bool colours = output_colours(STDERR_FILENO);
    va_list arguments;

    va_start(arguments, format);
    text_vprintf(&text, format, arguments);
    va_end(arguments);
    visible_append(&shown, text.bytes ? text.bytes : "", text.length, true);
    (void)fflush(stdout);
    (void)fprintf(stderr, "%shostler:%s %s\n", visible_colour(COLOUR_BOLD, colours),
                  visible_plain(colours), shown.bytes ? shown.bytes : "");
}

void
output_error(const struct error *error)
{
    output_complain("%s", error->message);
}
