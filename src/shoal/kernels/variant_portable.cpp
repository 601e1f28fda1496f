// 16-byte vectors: SSE2 on x86-64, NEON on arm64, plain code elsewhere.
#include "api.hpp"
#define SHOAL_VARIANT portable
#define SHOAL_VECTOR_BYTES 16
#define SHOAL_ROW_VECTORS 2
#include "variant.hpp"
