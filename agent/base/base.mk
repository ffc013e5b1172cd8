# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  agent/base/child-internal.h \
  agent/base/child-server.c \
  agent/base/child.c agent/base/child.h \
  agent/base/cleanup.c agent/base/cleanup.h \
  agent/base/clock.c agent/base/clock.h \
  agent/base/durable.c agent/base/durable.h \
  agent/base/error-codes.h \
  agent/base/error.c agent/base/error.h \
  agent/base/json-writer.c agent/base/json-writer.h \
  agent/base/log.c agent/base/log.h \
  agent/base/name.c agent/base/name.h \
  agent/base/post.c agent/base/post.h \
  agent/base/text.c agent/base/text.h \
  agent/base/thread.c agent/base/thread.h \
  agent/base/xml.c agent/base/xml.h

UNIT_TESTS += \
  tests/unit/test-child \
  tests/unit/test-clock \
  tests/unit/test-durable \
  tests/unit/test-error \
  tests/unit/test-json-writer \
  tests/unit/test-log \
  tests/unit/test-name \
  tests/unit/test-post \
  tests/unit/test-text \
  tests/unit/test-xml
