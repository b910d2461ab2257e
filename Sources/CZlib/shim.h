// zlib, for reading logs that were kept compressed.
#pragma once
#include <zlib.h>
