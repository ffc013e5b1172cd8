# SPDX-License-Identifier: Apache-2.0
dist_noinst_SCRIPTS = contrib/set-up.sh
systemdsystemunit_DATA = contrib/hostlerd.service contrib/hostlerd.socket
examplesdir = $(docdir)/examples
dist_examples_DATA = contrib/hostlerd.conf
EXTRA_DIST += $(systemdsystemunit_DATA)
