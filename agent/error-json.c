/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "agent/error-json.h"

void
error_write(struct writer *writer, const struct error *error)
{
    writer_object(writer);
    writer_member_integer(writer, "code", error->code);
    writer_member_string(writer, "message", error->message);
    writer_key(writer, "data");
    writer_object(writer);
    writer_member_string(writer, "name", error_code_name(error->code));
    if (error->data && *error->data) { /* members as they stand */
        text_append_char(&writer->text, ',');
        text_append_string(&writer->text, error->data);
    }
    writer_end_object(writer);
    writer_end_object(writer);
}
