// LAPACK's C interface over OpenBLAS: Cholesky factors and inverses.
#pragma once
#define LAPACK_COMPLEX_CUSTOM
#define lapack_complex_float float
#define lapack_complex_double double
#include <lapacke.h>

// OpenBLAS keeps a pool of threads of its own; callers that are parallel themselves give it one.
void openblas_set_num_threads(int threads);
