/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every error the agent answers: code on the wire, stable name, meaning.  The one table.
 */
#ifndef AGENT_BASE_ERROR_CODES_H
#define AGENT_BASE_ERROR_CODES_H

#define ERROR_TABLE(X)                                                                             \
    X(ERROR_PARSE, -32700, "ParseError", "the message is not JSON")                                \
    X(ERROR_INVALID_REQUEST, -32600, "InvalidRequest", "JSON, but not a request")                  \
    X(ERROR_METHOD_NOT_FOUND, -32601, "MethodNotFound", "there is no such verb")                   \
    X(ERROR_INVALID_PARAMS, -32602, "InvalidParams", "a parameter is missing, unknown or wrong")   \
    X(ERROR_INTERNAL, -32603, "InternalError", "a bug of the agent")                               \
    X(ERROR_TASK_ID_IN_USE, 1001, "TaskIdInUse", "a running task holds this id")                   \
    X(ERROR_TASK_NOT_FOUND, 1002, "TaskNotFound", "never ran on this instance, or has faded")      \
    X(ERROR_TASK_NOT_ACTIVE, 1003, "TaskNotActive", "the task has ended")                          \
    X(ERROR_TASK_ABORTED, 1004, "TaskAborted", "the task was aborted before it answered")          \
    X(ERROR_WRONG_INSTANCE, 1005, "WrongInstance", "the agent has restarted since")                \
    X(ERROR_FORBIDDEN, 1010, "Forbidden", "the caller's role is too low")                          \
    X(ERROR_RATE_LIMITED, 1011, "RateLimited", "the caller asks too often")                        \
    X(ERROR_BUSY, 1012, "Busy", "the workers of a backend are all taken")                          \
    X(ERROR_LIMIT_EXCEEDED, 1013, "LimitExceeded", "a limit of the agent was reached")             \
    X(ERROR_REPOSITORY_NOT_FOUND, 1020, "RepositoryNotFound", "no repository of that name")        \
    X(ERROR_REPOSITORY_EXISTS, 1021, "RepositoryExists",                                           \
      "the name is connected to something else")                                                   \
    X(ERROR_REPOSITORY_UNAVAILABLE, 1022, "RepositoryUnavailable",                                 \
      "cannot be reached, is not a repository, or has a newer format")                             \
    X(ERROR_IMAGE_NOT_FOUND, 1030, "ImageNotFound", "no image of that id in the repository")       \
    X(ERROR_IMAGE_EXISTS, 1031, "ImageExists", "the repository holds an image of that id")         \
    X(ERROR_IMAGE_IN_USE, 1032, "ImageInUse", "somebody holds the image's lock")                   \
    X(ERROR_IMAGE_IMMUTABLE, 1033, "ImageImmutable", "the image is a snapshot")                    \
    X(ERROR_IMAGE_BROKEN, 1034, "ImageBroken", "the image is incomplete or damaged")               \
    X(ERROR_IMAGE_HAS_DEPENDENTS, 1035, "ImageHasDependents", "other images have it as base")      \
    X(ERROR_NO_SPACE, 1036, "NoSpace", "the repository is full")                                   \
    X(ERROR_NOTHING_TO_RESUME, 1037, "NothingToResume", "the image has no incomplete copy")        \
    X(ERROR_VERIFY_FAILED, 1038, "VerifyFailed", "contents differ from the record")                \
    X(ERROR_BACKEND_UNAVAILABLE, 1040, "BackendUnavailable", "a backend is not there")             \
    X(ERROR_BACKEND_FAILED, 1041, "BackendFailed", "a backend answered an error")                  \
    X(ERROR_TIMEOUT, 1042, "Timeout", "it took longer than allowed")                               \
    X(ERROR_NOT_FOUND, 1050, "NotFound", "no such object")                                         \
    X(ERROR_ALREADY_EXISTS, 1051, "AlreadyExists", "the object exists")                            \
    X(ERROR_WRONG_STATE, 1052, "WrongState", "the object's state does not allow this")             \
    X(ERROR_CONFLICT, 1053, "Conflict", "changed by somebody else since it was read")

#define ERROR_AS_ENUM(symbol, code, name, meaning) symbol = code,
enum error_code { ERROR_NONE = 0, ERROR_TABLE(ERROR_AS_ENUM) };
#undef ERROR_AS_ENUM

#endif
