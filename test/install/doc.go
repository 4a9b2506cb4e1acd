// Package install tries what the packages install, in roots and processes of its own.
//
//	EPITAPH_INSTALL=1   make night-install: the packages are built, installed, upgraded, removed and purged
//
// The .deb goes into a minimal Debian that systemd boots in a container (systemd-nspawn), so that the unit, its sandbox, the
// watchdog and the maintainer scripts are run by what runs them elsewhere. The .rpm goes into a root without systemd, with
// rpm --root: what its scripts tell systemd is not run there. arm64 and macOS are built and not run. Three packaged nodes, and three
// pods as the chart's manifest says, are rolled under released brokers and clients.
//
// It needs Linux, root, debootstrap, systemd-container, rpm, lintian, Java and Maven; what is missing is skipped, saying so. Without
// EPITAPH_INSTALL the files that the packages are made of are compared with the program's flags.
package install
