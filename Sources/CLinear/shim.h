// LIBLINEAR (Fan et al. 2008).
#pragma once
#include <linear.h>
