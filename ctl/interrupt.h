/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control-C: remembered, so that whoever waits can say what goes on without us and leave.
 */
#ifndef CTL_INTERRUPT_H
#define CTL_INTERRUPT_H

#include <stdbool.h>

/* From now on SIGINT only sets a flag and interrupts system calls; SIGPIPE is an error of write(). */
void interrupt_catch(void);
/* SIGTERM and SIGHUP too: for who must leave the terminal as it was. */
void interrupt_catch_ends(void);
bool interrupt_seen(void);
void interrupt_forget(void);

#endif
