// LAPACK by its C interface, and OpenBLAS: factors, inverses, products.
#pragma once
#define LAPACK_COMPLEX_CUSTOM
#define lapack_complex_float float
#define lapack_complex_double double
#include <lapacke.h>
#include <cblas.h>

// OpenBLAS keeps a pool of threads of its own; callers that are parallel themselves give it one.
void openblas_set_num_threads(int threads);
