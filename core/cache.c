/* SPDX-License-Identifier: MIT */
/*
 * cache.c - cache lines, by the instructions that this CPU has for them: one
 * row of `caches` is one way, and the first that is available is used.
 *
 * x86-64 (Intel SDM, AMD APM volume 3): clwb writes a line back and may keep
 * it, clflushopt and clflush evict it too. Streaming stores are part of SSE2,
 * which every x86-64 has.
 * arm64 (Arm ARM): dc cvac cleans a line, dc civac cleans and invalidates it,
 * both allowed to user space by Linux; stnp hints that a pair is not needed
 * again.
 * Anything else: no line is touched, and a fence orders what was stored.
 */
#include "internal.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static bool always(void)
{
	return true;
}

static void fence(void)
{
	__sync_synchronize(); /* atomic_thread_fence() is none to TSan */
}

static void copy_and_fence(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	fence();
}

static void only_fence(const void *p, size_t n)
{
	(void)p;
	(void)n;
	fence();
}

#if defined(__x86_64__) || defined(__aarch64__)

/* Ask the CPU once: in a virtual machine cpuid(1) takes microseconds. */
static uintptr_t line_bytes(void)
{
	static _Atomic uintptr_t known;
	uintptr_t bytes = atomic_load_explicit(&known, memory_order_relaxed);

	if (bytes)
		return bytes;
#if defined(__x86_64__)
	unsigned int a, b = 0, c, d;

	bytes = __get_cpuid(1, &a, &b, &c, &d) ? (b >> 8 & 0xff) * 8 : 0;
#else
	uint64_t type;

	__asm__("mrs %0, ctr_el0" : "=r"(type));
	bytes = UINT64_C(4) << (type >> 16 & 15); /* the smallest there is */
#endif
	bytes = bytes ? bytes : 64;
	atomic_store_explicit(&known, bytes, memory_order_relaxed);
	return bytes;
}

static const char *first_line(const void *p)
{
	return (const char *)p - ((uintptr_t)p & (line_bytes() - 1));
}

#endif

#if defined(__x86_64__)

enum {
	CPUID_1_EDX_CLFLUSH = 1u << 19,
	CPUID_7_EBX_CLFLUSHOPT = 1u << 23,
	CPUID_7_EBX_CLWB = 1u << 24,
};

static bool has_clflush(void)
{
	unsigned int a, b, c, d = 0;

	return __get_cpuid(1, &a, &b, &c, &d) && (d & CPUID_1_EDX_CLFLUSH);
}

static bool has_clflushopt(void)
{
	unsigned int a, b = 0, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
	       (b & CPUID_7_EBX_CLFLUSHOPT);
}

static bool has_clwb(void)
{
	unsigned int a, b = 0, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
	       (b & CPUID_7_EBX_CLWB) && has_clflushopt();
}

/* All goes past the caches but what is short of 16 bytes at either end. */
static void stream_sse2(void *to, const void *from, size_t n)
{
	char *at = to;
	const char *bytes = from;
	size_t head = -(uintptr_t)to & (sizeof(__m128i) - 1);

	head = head < n ? head : n;
	memcpy(at, bytes, head);
	at += head, bytes += head, n -= head;
	for (; n >= sizeof(__m128i); n -= sizeof(__m128i)) {
		_mm_stream_si128((__m128i *)(void *)at,
				 _mm_loadu_si128((const void *)bytes));
		at += sizeof(__m128i), bytes += sizeof(__m128i);
	}
	memcpy(at, bytes, n);
	_mm_sfence();
}

/* mfence after an eviction, because sfence lets a later load run ahead of it;
 * and before clflush, which older AMD CPUs order by nothing else. */
static void flush_clflush(const void *p, size_t n)
{
	const char *const end = (const char *)p + n;
	const uintptr_t line = line_bytes();

	_mm_mfence();
	for (const char *at = first_line(p); at < end; at += line)
		_mm_clflush(at);
	_mm_mfence();
}

__attribute__((target("clflushopt"))) static void flush_clflushopt(const void *p,
								   size_t n)
{
	const char *const end = (const char *)p + n;
	const uintptr_t line = line_bytes();

	for (const char *at = first_line(p); at < end; at += line)
		_mm_clflushopt((void *)(uintptr_t)at);
	_mm_mfence();
}

__attribute__((target("clwb"))) static void store_clwb(const void *p, size_t n)
{
	const char *const end = (const char *)p + n;
	const uintptr_t line = line_bytes();

	for (const char *at = first_line(p); at < end; at += line)
		_mm_clwb((void *)(uintptr_t)at);
	_mm_sfence();
}

#elif defined(__aarch64__)

static void stream_stnp(void *to, const void *from, size_t n)
{
	char *at = to;
	const char *bytes = from;
	uint64_t pair[2];

	for (; n >= sizeof(pair); n -= sizeof(pair)) {
		memcpy(pair, bytes, sizeof(pair));
		__asm__ volatile("stnp %0, %1, [%2]"
				 :
				 : "r"(pair[0]), "r"(pair[1]), "r"(at)
				 : "memory");
		at += sizeof(pair), bytes += sizeof(pair);
	}
	memcpy(at, bytes, n);
	__asm__ volatile("dsb sy" ::: "memory");
}

static void store_cvac(const void *p, size_t n)
{
	const char *const end = (const char *)p + n;
	const uintptr_t line = line_bytes();

	for (const char *at = first_line(p); at < end; at += line)
		__asm__ volatile("dc cvac, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb sy" ::: "memory");
}

static void flush_civac(const void *p, size_t n)
{
	const char *const end = (const char *)p + n;
	const uintptr_t line = line_bytes();

	for (const char *at = first_line(p); at < end; at += line)
		__asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
	__asm__ volatile("dsb sy" ::: "memory");
}

#endif

static const struct iobuf_cache caches[] = {
#if defined(__x86_64__)
	{ .name = "clwb", .available = has_clwb, .stream = stream_sse2,
	  .store = store_clwb, .flush = flush_clflushopt, .keeps = true,
	  .evicts = true },
	{ .name = "clflushopt", .available = has_clflushopt,
	  .stream = stream_sse2, .store = flush_clflushopt,
	  .flush = flush_clflushopt, .evicts = true },
	{ .name = "clflush", .available = has_clflush, .stream = stream_sse2,
	  .store = flush_clflush, .flush = flush_clflush, .evicts = true },
#elif defined(__aarch64__)
	{ .name = "dc", .available = always, .stream = stream_stnp,
	  .store = store_cvac, .flush = flush_civac, .keeps = true,
	  .evicts = true },
#endif
	{ .name = "portable", .available = always, .stream = copy_and_fence,
	  .store = only_fence, .flush = only_fence, .keeps = true },
};

const struct iobuf_cache *iobuf_cache_row(size_t index)
{
	return index < sizeof(caches) / sizeof(caches[0]) ? &caches[index]
							  : NULL;
}

const struct iobuf_cache *iobuf_cache_chosen(void)
{
	static const struct iobuf_cache *_Atomic chosen;
	const struct iobuf_cache *row =
		atomic_load_explicit(&chosen, memory_order_relaxed);

	if (row)
		return row;
	/* Threads that come here at once find the same. */
	for (row = caches; !row->available();)
		row++;
	atomic_store_explicit(&chosen, row, memory_order_relaxed);
	return row;
}

void iobuf_cache_copy_in(const struct iobuf_cache *by, uint32_t mode, void *to,
			 const void *from, size_t n)
{
	if (mode == IOBUF_CACHE_WRITECOMBINE) {
		by->stream(to, from, n);
		return;
	}
	memcpy(to, from, n);
	if (mode == IOBUF_CACHE_WRITETHRU)
		by->store(to, n);
	else if (mode == IOBUF_CACHE_INHIBIT)
		by->flush(to, n);
}

void iobuf_cache_copy_out(const struct iobuf_cache *by, uint32_t mode, void *to,
			  const void *from, size_t n)
{
	if (mode == IOBUF_CACHE_INHIBIT)
		by->flush(from, n);
	memcpy(to, from, n);
	if (mode == IOBUF_CACHE_INHIBIT)
		by->flush(from, n);
}
