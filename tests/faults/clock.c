// SPDX-License-Identifier: Apache-2.0

// A clock that is turned by hand: preloaded into a process, it adds what stands in the file TURNED_CLOCK (seconds, as text) to the
// time of day. The file is read anew at each look, so the clock of a running process turns with it. Deadlines, which are counted on
// the monotonic clock, stay as they are. With TURNED_BOOT, the clock that counts since the machine was started is turned as well: so
// much time has passed, and nobody has set the clock.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t turned(void)
{
	const char *path = getenv("TURNED_CLOCK");
	char text[32] = "";
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (file < 0)
		return 0;
	ssize_t length = read(file, text, sizeof(text) - 1);
	close(file);
	return length > 0 ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int answer = real(clock, now);

	if (!answer && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ||
	                (clock == CLOCK_BOOTTIME && getenv("TURNED_BOOT"))))
		now->tv_sec += turned();
	return answer;
}

time_t time(time_t *where)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (where)
		*where = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec exact;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &exact);
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}
