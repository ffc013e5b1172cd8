/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a ticket that fades needs to know of the verb that closes it.
 */
#ifndef STORAGE_TICKET_VERBS_H
#define STORAGE_TICKET_VERBS_H

#include <stdbool.h>

#define TICKET_CLOSE_VERB "image.closeTicket"

struct close_args {
    char *ticket;
    bool complete;
};

#endif
