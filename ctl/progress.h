/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a task is: a bar on a terminal, plain lines elsewhere.
 */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <jansson.h>
#include <stdint.h>

#include "agent/base/text.h"

/* What a status says about it. */
struct progress {
    bool known;           /* anything was said at all */
    uint64_t done, total; /* total 0: not known */
    bool bytes;           /* else things */
    uint64_t per_second;  /* 0: not known */
    int64_t eta_s;        /* -1: not known */
    char step[192];       /* the step that runs, at most 40 columns; "" if none is told */
};

/* From a task's status; what it lacks stays unknown. */
void progress_read(const json_t *status, struct progress *ret_progress);
/* 0 to 100; -1: not known. */
int progress_percent(const struct progress *progress);
/* "copy  [#####>-----]  42 %  1.2 GiB of 3 GiB  812 MiB/s  0:04 left", at most 'width' columns. */
void progress_bar(const struct progress *progress, const char *what, size_t width, bool colours,
                  struct text *text);
/* "42 % 1.2 GiB of 3 GiB, 812 MiB/s, 0:04 left", for lines and tables. */
void progress_line(const struct progress *progress, struct text *text);

/* Shows progress on standard error while a task runs. */
struct progress_display {
    bool terminal, colours;
    bool drawn;        /* a bar stands on the line */
    int64_t shown_ns;  /* when something was last shown, monotonic */
    int shown_percent; /* in the last plain line; -1: none */
};

void progress_display_init(struct progress_display *display);
/* Shows 'status' if it is time to: at most four times a second; lines each 10 % or 5 s. */
void progress_display_update(struct progress_display *display, const json_t *status,
                             const char *what);
/* Takes the bar away, so that other text can follow. */
void progress_display_clear(struct progress_display *display);
/* The task is done: the bar, if one stands there, stays as it ended. */
void progress_display_finish(struct progress_display *display, const json_t *status,
                             const char *what);

#endif
