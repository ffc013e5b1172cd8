# SPDX-License-Identifier: Apache-2.0
# hostler(1) has its commands from the program itself.
dist_man_MANS += doc/hostlerd.8 doc/hostlerd.conf.5
nodist_man_MANS = doc/hostler.1
doc/hostler.1: doc/hostler.1.in hostler$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) doc && ./hostler$(EXEEXT) --print-manual >$@.commands && \
	  sed -e '/^@COMMANDS@$$/{r $@.commands' -e 'd}' $(srcdir)/doc/hostler.1.in >$@.tmp && \
	  rm -f $@.commands && mv -f $@.tmp $@
CLEANFILES += doc/hostler.1 doc/hostler.1.tmp doc/hostler.1.commands
EXTRA_DIST += doc/architecture.md doc/copy.md doc/formats.md doc/locks.md doc/protocol.md doc/repositories.md doc/serve.md \
  doc/protocol-from-openrpc.py doc/security.md doc/testing.md doc/threads.md doc/tickets.md doc/hostler.1.in \
  SECURITY.md doc/gluster.md doc/host.md doc/vms.md doc/volumes.md
