/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/base/clock.h"
#include "ctl/output.h"
#include "ctl/visible.h"

#define REDRAW_NS (250 * NS_PER_MS)
#define LINE_NS (5 * NS_PER_S)
#define STEP_WIDTH 40
#define BAR_LEAST 10 /* a narrower bar says nothing: the numbers then stand alone */

static uint64_t
unsigned_member(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));

    return value > 0 ? (uint64_t)value : 0;
}

static void
read_step(const json_t *status, struct progress *progress)
{
    json_t *steps = json_object_get(status, "steps"), *step;
    size_t i;

    json_array_foreach(steps, i, step)
    {
        const char *outcome = json_string_value(json_object_get(step, "outcome"));
        const char *name = json_string_value(json_object_get(step, "name"));

        if (name && outcome && strcmp(outcome, "running") == 0) {
            _cleanup_text_ struct text shown = TEXT_INIT, cut = TEXT_INIT;

            visible_append_string(&shown, name);
            visible_append_cut(&cut, shown.bytes ? shown.bytes : "", STEP_WIDTH);
            (void)snprintf(progress->step, sizeof(progress->step), "%s",
                           cut.bytes ? cut.bytes : "");
        }
    }
}

void
progress_read(const json_t *status, struct progress *ret_progress)
{
    json_t *object = json_object_get(status, "progress");
    json_t *eta = json_object_get(object, "etaSeconds");
    const char *unit = json_string_value(json_object_get(object, "unit"));

    *ret_progress = (struct progress){ .known = json_is_object(object), .eta_s = -1 };
    ret_progress->done = unsigned_member(object, "done");
    ret_progress->total = unsigned_member(object, "total");
    ret_progress->per_second = unsigned_member(object, "perSecond");
    ret_progress->bytes = !unit || strcmp(unit, "bytes") == 0;
    if (json_is_integer(eta) && json_integer_value(eta) >= 0)
        ret_progress->eta_s = json_integer_value(eta);
    read_step(status, ret_progress);
}

int
progress_percent(const struct progress *progress)
{
    if (!progress->known || progress->total == 0)
        return -1;
    if (progress->done >= progress->total)
        return 100;
    return (int)((double)progress->done / (double)progress->total * 100);
}

static void
append_amount(const struct progress *progress, uint64_t amount, struct text *text)
{
    char size[VISIBLE_SIZE_TEXT];

    visible_size(amount, size);
    if (progress->bytes)
        text_append_string(text, size);
    else
        text_printf(text, "%" PRIu64, amount);
}

/* Amounts, rate and time left, 'gap' between them. */
static void
append_numbers(const struct progress *progress, const char *gap, struct text *text)
{
    append_amount(progress, progress->done, text);
    if (progress->total > 0) {
        text_append_string(text, " of ");
        append_amount(progress, progress->total, text);
    }
    if (progress->per_second > 0) {
        text_append_string(text, gap);
        append_amount(progress, progress->per_second, text);
        text_append_string(text, "/s");
    }
    if (progress->eta_s >= 0 && progress->done < progress->total) {
        char left[VISIBLE_SIZE_TEXT];

        visible_duration((uint64_t)progress->eta_s, left);
        text_printf(text, "%s%s left", gap, left);
    }
}

void
progress_line(const struct progress *progress, struct text *text)
{
    int percent = progress_percent(progress);

    if (!progress->known)
        return;
    if (percent >= 0)
        text_printf(text, "%d %%, ", percent);
    append_numbers(progress, ", ", text);
}

static void
append_bar(int percent, size_t width, struct text *text)
{
    size_t filled = width * (size_t)percent / 100;

    text_append_char(text, '[');
    for (size_t i = 0; i < width; i++)
        text_append_char(text, i < filled ? '#' : '.');
    text_append_char(text, ']');
}

void
progress_bar(const struct progress *progress, const char *what, size_t width, bool colours,
             struct text *text)
{
    _cleanup_text_ struct text left = TEXT_INIT, right = TEXT_INIT, line = TEXT_INIT;
    int percent = progress_percent(progress);
    size_t used;

    visible_append_string(&left, what);
    if (progress->step[0])
        text_printf(&left, ": %s", progress->step);
    if (percent >= 0)
        text_printf(&right, "%3d %%  ", percent);
    if (progress->known)
        append_numbers(progress, "  ", &right);
    used = visible_width(left.bytes ? left.bytes : "") + 2 +
           visible_width(right.bytes ? right.bytes : "") + 4;
    text_printf(&line, "%s  ", left.bytes ? left.bytes : "");
    if (percent >= 0 && used + BAR_LEAST <= width) {
        size_t bar = width - used;

        text_append_string(&line, visible_colour(COLOUR_GREEN, colours));
        append_bar(percent, bar < 40 ? bar : 40, &line);
        text_printf(&line, "%s  %s", visible_plain(colours), right.bytes);
        text_append_string(text, line.bytes);
        return;
    }
    text_append_string(&line, right.bytes ? right.bytes : "");
    visible_append_cut(text, line.bytes, width);
}

void
progress_display_init(struct progress_display *display)
{
    *display = (struct progress_display){ .shown_percent = -1 };
    display->terminal = output_is_terminal(STDERR_FILENO);
    display->colours = output_colours(STDERR_FILENO);
}

static void
show_line(struct progress_display *display, const struct progress *progress, const char *what,
          int64_t now_ns)
{
    _cleanup_text_ struct text line = TEXT_INIT;
    int percent = progress_percent(progress);
    bool moved = display->shown_percent < 0 || percent / 10 > display->shown_percent / 10;

    if (!progress->known || (!moved && now_ns - display->shown_ns < LINE_NS))
        return;
    visible_append_string(&line, what);
    if (progress->step[0])
        text_printf(&line, ": %s", progress->step);
    text_append_string(&line, ": ");
    progress_line(progress, &line);
    text_append_char(&line, '\n');
    (void)fputs(line.bytes, stderr);
    display->shown_percent = percent < 0 ? 0 : percent;
    display->shown_ns = now_ns;
}

static void
draw(const struct progress_display *display, const struct progress *progress, const char *what)
{
    _cleanup_text_ struct text line = TEXT_INIT;

    progress_bar(progress, what, output_width(STDERR_FILENO) - 1, display->colours, &line);
    (void)fprintf(stderr, "\r%s\033[K", line.bytes ? line.bytes : "");
    (void)fflush(stderr);
}

void
progress_display_update(struct progress_display *display, const json_t *status, const char *what)
{
    int64_t now_ns = clock_monotonic_ns();
    struct progress progress;

    progress_read(status, &progress);
    if (!display->terminal) {
        show_line(display, &progress, what, now_ns);
        return;
    }
    if (display->drawn && now_ns - display->shown_ns < REDRAW_NS)
        return;
    draw(display, &progress, what);
    display->drawn = true;
    display->shown_ns = now_ns;
}

void
progress_display_finish(struct progress_display *display, const json_t *status, const char *what)
{
    struct progress progress;

    progress_read(status, &progress);
    if (!display->drawn || !progress.known) {
        progress_display_clear(display);
        return;
    }
    draw(display, &progress, what);
    (void)fputc('\n', stderr);
    display->drawn = false;
}

void
progress_display_clear(struct progress_display *display)
{
    if (!display->drawn)
        return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    display->drawn = false;
}
