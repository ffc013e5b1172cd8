/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/base/thread.h"

static _Thread_local enum thread_kind this_thread;

void
thread_mark(enum thread_kind kind)
{
    this_thread = kind;
}

enum thread_kind
thread_kind(void)
{
    return this_thread;
}
