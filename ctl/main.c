/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostler: hostlerd's command line.  Everything it can do comes from the agent's verb tables, by
 * the OpenRPC document that is built in, and from ctl/local.c.
 */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "agent/base/text.h"
#include "ctl/completion.h"
#include "ctl/help.h"
#include "ctl/interrupt.h"
#include "ctl/local.h"
#include "ctl/openrpc.h"
#include "ctl/output.h"
#include "ctl/visible.h"

static enum status
refuse(const struct invocation *invocation, const struct error *error)
{
    const struct command *command = invocation->command;

    output_complain("%s\n  try: hostler %s%s%s%s--help", error->message,
                    invocation->resource ? invocation->resource : "",
                    invocation->resource ? " " : "", command ? command->name : "",
                    command && command->name[0] ? " " : "");
    return STATUS_USAGE;
}

/* For the build (the manual) and for bash; no flags of users, so not in their table. */
static bool
answer_hidden(const struct verbs *verbs, int count, char *words[])
{
    _cleanup_text_ struct text text = TEXT_INIT;

    if (count >= 2 && strcmp(words[1], "--complete") == 0) {
        completion_answer(verbs, (const char *const *)words + 2, (size_t)count - 2);
        return true;
    }
    if (count == 2 && strcmp(words[1], "--print-manual") == 0) {
        manual_write(verbs, &text);
        (void)fputs(text.bytes, stdout);
        return true;
    }
    return false;
}

int
main(int count, char *words[])
{
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_(verbs_freep) struct verbs *verbs = NULL;
    struct invocation invocation = { 0 };
    struct session session = { 0 };
    struct settings defaults;
    enum status status;

    visible_open();
    json_object_seed(0);
    if (!verbs_new(openrpc_document, openrpc_document_size, local_commands, local_command_count,
                   &verbs, &error)) {
        output_error(error);
        return STATUS_USAGE;
    }
    if (answer_hidden(verbs, count, words))
        return fflush(stdout) == 0 ? STATUS_DONE : STATUS_USAGE;
    settings_init(&defaults);
    session.verbs = verbs;
    interrupt_catch();
    if (arguments_parse(verbs, &defaults, (const char *const *)words + 1,
                        count > 0 ? (size_t)count - 1 : 0, &invocation, &error))
        status = local_dispatch(&session, &invocation);
    else
        status = refuse(&invocation, error);
    session_done(&session);
    invocation_done(&invocation);
    return status;
}
