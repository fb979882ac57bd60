/* SPDX-License-Identifier: MIT */
/*
 * fault.c - to touch shared memory without dying of it.
 *
 * Whoever maps a file may take its pages away (MADV_REMOVE), and there may be
 * none to replace them: then a load or store raises SIGBUS. What touches a
 * mapping does it under iobuf_catch_fault(), which the program's handler
 * returns to by iobuf_handle_sigbus().
 */
#include "internal.h"

#include <setjmp.h>
#include <signal.h>

struct frame {
	sigjmp_buf back;
	uintptr_t from, to;  /* the memory that may fault */
	struct frame *outer; /* of what a signal interrupted, or NULL */
};

/* Not allocated at its first use, which may be in a signal handler. */
static __thread struct frame *volatile innermost
	__attribute__((tls_model("initial-exec")));

int iobuf_catch_fault(const void *at, size_t size, void (*body)(void *),
		      void *context)
{
	struct frame frame = {
		.from = (uintptr_t)at & ~(uintptr_t)(iobuf_page_bytes() - 1),
		.to = (uintptr_t)at + size,
		.outer = innermost,
	};

	/* With the mask: the program's handler may have been entered with any
	 * signals blocked. */
	if (sigsetjmp(frame.back, 1)) {
		innermost = frame.outer;
		return -EFAULT;
	}
	innermost = &frame;
	atomic_signal_fence(memory_order_seq_cst);
	body(context);
	atomic_signal_fence(memory_order_seq_cst);
	innermost = frame.outer;
	return 0;
}

bool iobuf_handle_sigbus(const siginfo_t *info)
{
	struct frame *frame = innermost;
	const uintptr_t at = (uintptr_t)info->si_addr;

	if (!frame || info->si_signo != SIGBUS ||
	    (info->si_code != BUS_ADRERR && info->si_code != BUS_OBJERR &&
	     info->si_code != BUS_MCEERR_AR) ||
	    at < frame->from || at >= frame->to)
		return false;
	siglongjmp(frame->back, 1);
}
