/* Runs one kernel of kernel_library.mojo in a program of its own, for a processor that is emulated.

   Standard input is one job, as kernel_emulated.py writes it: numbers of 64 bits, then the arrays. Standard output is
   a number, and the result (0) or the kernel's complaint (1). Every array ends where a page begins that must not be
   touched. What the kernels need of MAX's runtime is here: memory. They run on one thread, and start no others. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, MOST = 16 };

int64_t library_run(int64_t job);

void *KGEN_CompilerRT_AlignedAlloc(size_t alignment, size_t size) {
  return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void KGEN_CompilerRT_AlignedFree(void *memory) { free(memory); }

void *AsyncRT_DeviceContext_create(void **context) {
  *context = context; /* anything but nothing */
  return NULL;        /* no error */
}

void AsyncRT_DeviceContext_release(void *context) { (void)context; }

int64_t KGEN_CompilerRT_GetStackTrace(void) { return 0; /* an error has none */ }

#define UNUSED(name)                                                                                                   \
  void name(void) {                                                                                                    \
    fputs(#name " was called\n", stderr);                                                                              \
    abort();                                                                                                           \
  }
UNUSED(AsyncRT_DeviceContext_deviceApi)
UNUSED(AsyncRT_DeviceContext_enqueueHostFunctionRange)
UNUSED(AsyncRT_DeviceContext_strfree)
UNUSED(AsyncRT_DeviceContext_synchronize)
UNUSED(KGEN_CompilerRT_AsyncRT_GetCurrentCPUDevice)
UNUSED(KGEN_CompilerRT_AsyncRT_GetOrCreateCPUDevice)
UNUSED(KGEN_CompilerRT_AsyncRT_ReleaseCPUDevice)
UNUSED(KGEN_CompilerRT_GetOrCreateGlobal)
UNUSED(KGEN_CompilerRT_TracyIsEnabled)
UNUSED(KGEN_CompilerRT_TracyZoneBegin)
UNUSED(KGEN_CompilerRT_TracyZoneEnd)
UNUSED(KGEN_CompilerRT_fprintf)

static void require(int holds, const char *what) {
  if (!holds) {
    fprintf(stderr, "%s\n", what);
    exit(2);
  }
}

static int64_t number(void) {
  int64_t value;
  require(fread(&value, sizeof value, 1, stdin) == 1, "the job ends early");
  return value;
}

/* The next `size` bytes of the job, in memory of their own. */
static char *array(int64_t size) {
  size_t pages = ((size_t)size + PAGE - 1) / PAGE * PAGE;
  char *memory = mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(memory != MAP_FAILED && mprotect(memory + pages, PAGE, PROT_NONE) == 0, "no memory");
  char *begin = memory + pages - size;
  require(fread(begin, 1, (size_t)size, stdin) == (size_t)size, "the job ends early");
  return begin;
}

int main(void) {
  int64_t table = number(), id = number(), bf16 = number(), count = number(), sizes[MOST], numbers[5 * MOST];
  require(count < MOST, "too many tensors");
  for (int64_t i = 0; i <= count; i++) { /* the last one is the result */
    sizes[i] = number();
    for (int j = 1; j < 5; j++) numbers[5 * i + j] = number();
  }
  int64_t of_params = number(), of_run = number(), of_weight = number(), of_bias = number();
  char *params = array(of_params), *run = array(of_run), *weight = array(of_weight), *bias = array(of_bias);
  for (int64_t i = 0; i <= count; i++) numbers[5 * i] = (int64_t)array(sizes[i]);

  char message[400];
  int64_t job[] = {table, id, bf16, (int64_t)params, (int64_t)numbers, count, (int64_t)weight, (int64_t)bias,
                   (int64_t)run, 0, (int64_t)message, sizeof message};
  int64_t failed = library_run((int64_t)job);
  fwrite(&failed, sizeof failed, 1, stdout);
  if (failed)
    fwrite(message, 1, strlen(message), stdout);
  else
    fwrite((char *)numbers[5 * count], 1, (size_t)sizes[count], stdout);
  return 0;
}
