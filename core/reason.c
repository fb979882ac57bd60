/* SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

int iobuf_refuse(struct iobuf_reason *ret_reason, int error, const char *format,
		 ...)
{
	va_list args;

	if (ret_reason) {
		va_start(args, format);
		vsnprintf(ret_reason->text, sizeof(ret_reason->text), format,
			  args);
		va_end(args);
	}
	return -error;
}
