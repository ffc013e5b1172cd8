/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small OpenRPC document for the tests of ctl/, with one parameter of each type.
 */
#ifndef TESTS_UNIT_CTL_DOCUMENT_H
#define TESTS_UNIT_CTL_DOCUMENT_H

#include "ctl/verbs.h"

#define DOCUMENT_PARAM(name, type, schema, rest)                                                   \
    "{\"name\":\"" name "\",\"description\":\"The " name ".\",\"schema\":{" schema                 \
    "},\"x-type\":\"" type "\"" rest "}"

#define DOCUMENT_MEMBER(name, type, schema)                                                        \
    "\"" name "\":{\"description\":\"Its " name ".\",\"x-type\":\"" type "\"" schema "}"
#define DOCUMENT_RECORD(required, members)                                                         \
    "\"type\":\"object\",\"required\":[" required "],\"properties\":{" members "}"

/* A line a parameter. */
/* clang-format off */
static const char document[] =
    "{\"openrpc\":\"1.2.6\",\"methods\":["
    "{\"name\":\"image.copy\",\"summary\":\"Copy an image.\",\"x-kind\":\"answersEarly\","
    "\"x-role\":\"operator\",\"x-aliases\":[\"copyImage\"],\"errors\":[{\"code\":1030}],\"params\":["
    DOCUMENT_PARAM("repository", "name", "", ",\"required\":true") ","
    DOCUMENT_PARAM("image", "name", "", ",\"required\":true") ","
    DOCUMENT_PARAM("targetRepository", "name", "", "") ","
    DOCUMENT_PARAM("bytesPerSecond", "size", "\"minimum\":0,\"default\":0", "") ","
    DOCUMENT_PARAM("level", "integer", "\"minimum\":-1,\"maximum\":9", "") ","
    DOCUMENT_PARAM("verify", "bool", "\"default\":false", "") ","
    DOCUMENT_PARAM("format", "choice", "\"enum\":[\"raw\",\"qcow2\"]", "") ","
    DOCUMENT_PARAM("url", "text", "", "") ","
    DOCUMENT_PARAM("path", "path", "", "") ","
    DOCUMENT_PARAM("userData", "object", "", "") ","
    DOCUMENT_PARAM("servers", "texts", "", "") "]},"
    "{\"name\":\"vm.define\",\"summary\":\"Define.\",\"x-kind\":\"changes\",\"params\":["
    DOCUMENT_PARAM("console", "record", DOCUMENT_RECORD("",
        DOCUMENT_MEMBER("kind", "choice", ",\"enum\":[\"vnc\",\"spice\"]") ","
        DOCUMENT_MEMBER("listen", "text", "") ","
        DOCUMENT_MEMBER("names", "texts", "") ","
        DOCUMENT_MEMBER("tls", "record", "," DOCUMENT_RECORD("", DOCUMENT_MEMBER("port", "integer", "")))), "") ","
    DOCUMENT_PARAM("disks", "records", "\"items\":{" DOCUMENT_RECORD("\"repository\"",
        DOCUMENT_MEMBER("repository", "name", "") ","
        DOCUMENT_MEMBER("bootOrder", "integer", ",\"minimum\":1") ","
        DOCUMENT_MEMBER("readonly", "bool", "") ","
        DOCUMENT_MEMBER("path", "path", "") ","
        DOCUMENT_MEMBER("tags", "texts", "") ","
        DOCUMENT_MEMBER("parts", "records", ",\"items\":{}") ","
        DOCUMENT_MEMBER("tuning", "record", "," DOCUMENT_RECORD("",
            DOCUMENT_MEMBER("readRate", "size", ",\"default\":0")))) "}", "") "]},"
    "{\"name\":\"task.status\",\"summary\":\"Tell.\",\"x-kind\":\"reads\",\"params\":["
    DOCUMENT_PARAM("task", "task", "", ",\"required\":true") "]},"
    "{\"name\":\"image.list\",\"summary\":\"List.\",\"x-kind\":\"reads\",\"params\":["
    DOCUMENT_PARAM("repository", "name", "", ",\"required\":true") "]}"
    "]}";
/* clang-format on */

static const struct command own_commands[] = {
    { .resource = "shell", .name = "", .summary = "Read lines." },
    { .resource = "task", .name = "top", .summary = "Show tasks." },
};

#endif
