/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "ctl/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t interrupted;

static void
remember(int number)
{
    (void)number;
    interrupted = 1;
}

void
interrupt_catch(void)
{
    struct sigaction action = { .sa_handler = remember };

    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

void
interrupt_catch_ends(void)
{
    struct sigaction action = { .sa_handler = remember };

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

bool
interrupt_seen(void)
{
    return interrupted;
}

void
interrupt_forget(void)
{
    interrupted = 0;
}
