/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/local.h"

#include <stdio.h>

#include "ctl/call.h"
#include "ctl/help.h"
#include "ctl/output.h"

static const struct flag watch_flags[] = {
    { .name = "topics",
      .param = "topics",
      .type = FLAG_TEXTS,
      .value = "PATTERN",
      .about = "Which events: 'task.*', 'image.changed', '*'; may be given several times; default "
               "all." },
    { .name = "subject",
      .param = "subject",
      .type = FLAG_TEXT,
      .about = "Only those of this task or object." },
    { .name = "instance",
      .param = "instance",
      .type = FLAG_TEXT,
      .value = "INSTANCE",
      .about = "The instance that --since counts in." },
    { .name = "since",
      .param = "since",
      .type = FLAG_INTEGER,
      .bounded_below = true,
      .about = "Begin behind this event of --instance; what is no longer kept is told as a gap." },
    { .name = "snapshot",
      .param = "snapshot",
      .type = FLAG_BOOL,
      .about = "Begin with the present state of all that the topics cover." },
    { .name = "count",
      .param = "count",
      .type = FLAG_INTEGER,
      .bounded_below = true,
      .minimum = 1,
      .about = "End after so many events." },
};

const struct command local_commands[] = {
    { .resource = "event",
      .name = "watch",
      .summary = "Follow events as they happen.",
      .description = "One line an event, or one JSON object a line with --format json. A broken "
                     "connection is made again and goes on behind the last event seen; events "
                     "that were lost (gap), or an agent that has restarted (resync), are told.",
      .flags = watch_flags,
      .flag_count = ARRAY_COUNT(watch_flags),
      .run = watch_run },
    { .resource = "task",
      .name = "top",
      .summary = "Show the running tasks live.",
      .description = "q quits. Where there is no terminal, they are shown once.",
      .run = top_run },
    { .resource = "shell",
      .name = "",
      .summary = "Read commands line by line.",
      .description = "The same commands over one connection, with history and completion; 'help' "
                     "and 'exit'.",
      .run = shell_run },
    { .resource = "completion",
      .name = "bash",
      .summary = "Print the completion for bash.",
      .description = "Try it with: source <(hostler completion bash)",
      .run = completion_run },
};
const size_t local_command_count = ARRAY_COUNT(local_commands);

enum status
local_dispatch(struct session *session, const struct invocation *invocation)
{
    if (invocation->version) {
        (void)puts("hostler " PACKAGE_VERSION);
        return STATUS_DONE;
    }
    if (invocation->help) {
        help_print(session->verbs, invocation, stdout);
        return STATUS_DONE;
    }
    if (!invocation->command) {
        help_print(session->verbs, invocation, stderr);
        return STATUS_USAGE;
    }
    return invocation->command->run ? invocation->command->run(session, invocation)
                                    : call_run(session, invocation);
}
