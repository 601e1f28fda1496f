#include "api.hpp"
#if defined(__AVX512F__)
#define SHOAL_VARIANT avx512
#define SHOAL_VECTOR_BYTES 64
#define SHOAL_ROW_VECTORS 4
#include "variant.hpp"
#else
namespace shoal {
const Variant *avx512_variant() { return nullptr; }
} // namespace shoal
#endif
