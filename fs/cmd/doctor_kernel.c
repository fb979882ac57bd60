/* SPDX-License-Identifier: MIT */
/*
 * doctor_kernel.c - what the kernel has.
 */
#include "doctor.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THP "/sys/kernel/mm/transparent_hugepage"

bool doctor_is_root(const struct doctor *d)
{
	return d->initial_namespace && doctor_can(d, CAP_SYS_ADMIN);
}

static void read_release(const struct doctor *d, char text[FILE_MAX])
{
	if (!doctor_read(d, "/proc/sys/kernel/osrelease", text))
		strcpy(text, "unknown");
	text[strcspn(text, "\n")] = '\0';
}

static bool is_older(const char *release, int major, int minor)
{
	int a = 0, b = 0;

	return sscanf(release, "%d.%d", &a, &b) != 2 || a < major ||
	       (a == major && b < minor);
}

void look_at_kernel(const struct doctor *d, struct finding *f)
{
	char release[FILE_MAX];

	read_release(d, release);
	if (!is_older(release, 6, 9)) {
		finding_say(f, "Linux %.64s", release);
		return;
	}
	finding_say(f, "Linux %.64s has no passthrough, that takes 6.9: data goes "
		    "the cached path", release);
	finding_no(f, "apt-get install -t bookworm-backports linux-image-amd64 && "
		   "reboot");
}

void look_at_fuse(const struct doctor *d, struct finding *f)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/dev/fuse", d->root);
	if (access(path, R_OK | W_OK) == 0) {
		finding_say(f, "/dev/fuse is there");
		return;
	}
	finding_say(f, "/dev/fuse: %s", strerror(errno));
	if (errno == EACCES)
		finding_no(f, "chmod 666 /dev/fuse");
	else
		finding_no(f, "modprobe fuse # of a container: --device /dev/fuse "
			   "--cap-add SYS_ADMIN");
}

/* What the daemon beside us is linked with, which takes 3.17 to be built. */
void look_at_libfuse(const struct doctor *d, struct finding *f)
{
	static const char *const helpers[] = { "/bin/fusermount3",
					       "/usr/bin/fusermount3",
					       "/usr/local/bin/fusermount3" };
	char path[PATH_MAX];

	finding_say(f, "built with %s", LIBFUSE_VERSION);
	if (doctor_can(d, CAP_SYS_ADMIN))
		return;
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", d->root, helpers[i]);
		if (access(path, X_OK) == 0)
			return;
	}
	finding_say(f, "fusermount3 is missing, by which ordinary users mount");
	finding_no(f, "apt-get install fuse3");
}

void look_at_passthrough(const struct doctor *d, struct finding *f)
{
	char release[FILE_MAX], path[FILE_MAX + 16], config[FILE_MAX];
	const char *key = "# CONFIG_FUSE_PASSTHROUGH is not set";
	bool missing = false;
	FILE *file;

	read_release(d, release);
	snprintf(path, sizeof(path), "/boot/config-%s", release);
	if ((file = doctor_open(d, path))) {
		while (!missing && fgets(config, sizeof(config), file))
			missing = !strncmp(config, key, strlen(key));
		fclose(file);
	}
	if (missing || is_older(release, 6, 9)) {
		finding_say(f, "this kernel has none: data goes the cached path");
		finding_no(f, "boot a kernel of 6.9 or newer with "
			   "CONFIG_FUSE_PASSTHROUGH=y");
	} else if (!doctor_is_root(d)) {
		finding_say(f, "it takes CAP_SYS_ADMIN of the machine: what you "
			    "mount goes the cached path");
		finding_no(f, "sudo bufferfs -o allow_other DIR");
	} else {
		finding_say(f, "mappings are the buffers' own pages");
	}
}

/* An ordinary user's pool is in /dev/shm, which is mounted as it is. */
static void look_at_shm(const struct doctor *d, struct finding *f)
{
	char text[FILE_MAX], line[512];
	const char *at = NULL;

	if (doctor_read(d, "/proc/self/mounts", text))
		at = strstr(text, " /dev/shm tmpfs ");
	snprintf(line, sizeof(line), "%.*s", at ? (int)strcspn(at, "\n") : 0,
		 at ? at : "");
	if (strstr(line, "huge=") && !strstr(line, "huge=never")) {
		finding_say(f, "/dev/shm has them");
		return;
	}
	finding_say(f, "your pool is in /dev/shm, which is mounted without huge=");
	finding_no(f, "sudo mount -o remount,huge=within_size /dev/shm");
}

void look_at_huge_pages(const struct doctor *d, struct finding *f)
{
	char text[FILE_MAX];

	if (!doctor_read(d, THP "/shmem_enabled", text)) {
		finding_say(f, "this kernel has none for shared memory");
		finding_no(f, "boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE=y");
	} else if (strstr(text, "[deny]")) {
		finding_say(f, "denied to shared memory: pages are small, runs "
			    "of them short");
		finding_no(f, "echo never >" THP "/shmem_enabled");
	} else if (!doctor_is_root(d)) {
		look_at_shm(d, f);
	} else {
		finding_say(f, "a pool of the mount's own is made of them");
	}
}

void look_at_pressure(const struct doctor *d, struct finding *f)
{
	char text[FILE_MAX];

	if (doctor_read(d, "/proc/pressure/memory", text)) {
		finding_say(f, "the kernel tells%s",
			    doctor_can(d, CAP_SYS_RESOURCE)
				    ? ""
				    : ", in windows that are multiples of 2 s");
		return;
	}
	finding_say(f, "the kernel does not tell: volatile buffers go when room is "
		    "short, and not before");
	finding_no(f, "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&psi=1 /' "
		   "/etc/default/grub && update-grub && reboot");
}

/* Where it cannot be read, it can be tried. */
static int try_ring(void)
{
	struct io_uring_params params = { 0 };
	const int ring = (int)syscall(SYS_io_uring_setup, 1, &params);

	if (ring < 0)
		return -errno;
	close(ring);
	return 0;
}

void look_at_pins(const struct doctor *d, struct finding *f)
{
	char text[FILE_MAX] = "0";
	int level, r = 0;

	doctor_read(d, "/proc/sys/kernel/io_uring_disabled", text);
	level = atoi(text);
	if (level == 1 && doctor_can(d, CAP_SYS_ADMIN))
		level = 0;
	if (level) {
		finding_say(f, "io_uring is switched off: contiguous buffers are "
			    "locked, not kept in place");
		finding_no(f, "sysctl -w kernel.io_uring_disabled=0");
		return;
	}
	if (!*d->root)
		r = try_ring();
	if (r < 0) {
		finding_say(f, "io_uring: %s: contiguous buffers are locked, not "
			    "kept in place", strerror(-r));
		finding_no(f, "run the daemon where io_uring_setup(2) is allowed # "
			   "of a container: --security-opt seccomp=unconfined");
		return;
	}
	finding_say(f, "io_uring keeps contiguous buffers in place");
}

void look_at_uring(const struct doctor *d, struct finding *f)
{
	static const char parameter[] = "/sys/module/fuse/parameters/enable_uring";
	char text[FILE_MAX];

	f->verdict = VERDICT_OFF;
	if (!doctor_read(d, parameter, text)) {
		finding_say(f, "requests by io_uring take Linux 6.14");
		return;
	}
	if (*text == 'Y' || *text == '1') {
		f->verdict = VERDICT_OK;
		finding_say(f, "requests can go by io_uring, with -o io_uring");
		return;
	}
	finding_say(f, "requests by io_uring are switched off, and give up that a "
		    "worker can be replaced");
	snprintf(f->change, sizeof(f->change), "echo Y >%s", parameter);
}
