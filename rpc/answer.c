/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "rpc/answer.h"

#include "agent/error-json.h"

static const char head[] = "{\"jsonrpc\":\"2.0\",\"id\":", result_key[] = ",\"result\":",
                  error_key[] = ",\"error\":";

static char *
put(char *place, const char *bytes, size_t size)
{
    memcpy(place, bytes, size);
    return place + size;
}

/* Head and id, with room for 'more' bytes: one look at the text's size for the whole answer. */
static char *
begin(struct text *text, struct slice id, size_t more)
{
    char *place = text_reserve(text, sizeof(head) + (id.text ? id.size : 4) + more);

    place = put(place, head, sizeof(head) - 1);
    return id.text ? put(place, id.text, id.size) : put(place, "null", 4);
}

void
answer_result(struct text *text, struct slice id, const char *result, size_t result_size)
{
    char *place = begin(text, id, sizeof(result_key) + result_size);

    place = put(place, result_key, sizeof(result_key) - 1);
    place = put(place, result, result_size);
    *place++ = '}';
    text_grow(text, (size_t)(place - text->bytes) - text->length);
}

void
answer_error(struct text *text, struct slice id, const struct error *error)
{
    char *place = begin(text, id, sizeof(error_key));
    struct writer writer = WRITER_INIT;

    place = put(place, error_key, sizeof(error_key) - 1);
    text_grow(text, (size_t)(place - text->bytes) - text->length);
    writer.text = *text; /* the writer goes on where we are, and hands the text back */
    error_write(&writer, error);
    *text = writer.text;
    text_append_char(text, '}');
}
