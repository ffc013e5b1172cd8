# SPDX-License-Identifier: Apache-2.0
# The client.  What it can do is the agent's own word: 'hostlerd --print-openrpc', built in.
noinst_LIBRARIES += libctl.a
libctl_a_SOURCES = \
  ctl/address.c ctl/address.h \
  ctl/arguments.c ctl/arguments.h \
  ctl/call.c ctl/call.h \
  ctl/client.c ctl/client.h \
  ctl/completion.c ctl/completion.h \
  ctl/failure.c ctl/failure.h \
  ctl/follow.c ctl/follow.h \
  ctl/help.c ctl/help.h \
  ctl/interrupt.c ctl/interrupt.h \
  ctl/local.c ctl/local.h \
  ctl/manual.c \
  ctl/openrpc.h \
  ctl/output.c ctl/output.h \
  ctl/progress.c ctl/progress.h \
  ctl/record.c ctl/record.h \
  ctl/result.c ctl/result.h \
  ctl/session.c ctl/session.h \
  ctl/shell.c \
  ctl/status.h \
  ctl/suggestion.c ctl/suggestion.h \
  ctl/table.c ctl/table.h \
  ctl/top.c \
  ctl/values.c ctl/values.h \
  ctl/verbs.c ctl/verbs.h \
  ctl/visible.c ctl/visible.h \
  ctl/watch.c \
  ctl/words.c ctl/words.h
libctl_a_CPPFLAGS = $(AM_CPPFLAGS) $(READLINE_CFLAGS)

bin_PROGRAMS += hostler
hostler_SOURCES = ctl/main.c
nodist_hostler_SOURCES = ctl/openrpc.c
hostler_LDADD = libctl.a libhostler.a $(AGENT_LIBS) $(READLINE_LIBS)

ctl/openrpc.json: hostlerd$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) ctl && ./hostlerd$(EXEEXT) --print-openrpc >$@.tmp && mv -f $@.tmp $@
ctl/openrpc.c: ctl/openrpc.json
	$(AM_V_GEN){ \
	  echo '/* Made from ctl/openrpc.json. */'; \
	  echo '#include <config.h>'; \
	  echo '#include "ctl/openrpc.h"'; \
	  echo 'const unsigned char openrpc_document[] = {'; \
	  od -An -v -t x1 ctl/openrpc.json | sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'; \
	  echo '};'; \
	  echo 'const size_t openrpc_document_size = sizeof(openrpc_document);'; \
	} >$@.tmp && mv -f $@.tmp $@
CLEANFILES += ctl/openrpc.json ctl/openrpc.c ctl/openrpc.json.tmp ctl/openrpc.c.tmp

bashcompletion_DATA = ctl/completion/hostler
ctl/completion/hostler: hostler$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) ctl/completion && ./hostler$(EXEEXT) completion bash >$@.tmp && \
	  mv -f $@.tmp $@
CLEANFILES += ctl/completion/hostler ctl/completion/hostler.tmp

UNIT_TESTS += tests/unit/test-ctl-address tests/unit/test-ctl-arguments tests/unit/test-ctl-follow \
  tests/unit/test-ctl-progress tests/unit/test-ctl-table tests/unit/test-ctl-verbs
ctl_test_libs = libctl.a libhostler.a $(AGENT_LIBS) $(READLINE_LIBS) $(CMOCKA_LIBS)
tests_unit_test_ctl_follow_LDADD = $(ctl_test_libs)
tests_unit_test_ctl_address_LDADD = $(ctl_test_libs)
tests_unit_test_ctl_arguments_LDADD = $(ctl_test_libs)
tests_unit_test_ctl_progress_LDADD = $(ctl_test_libs)
tests_unit_test_ctl_table_LDADD = $(ctl_test_libs)
tests_unit_test_ctl_verbs_LDADD = $(ctl_test_libs)
EXTRA_DIST += tests/unit/ctl-document.h
