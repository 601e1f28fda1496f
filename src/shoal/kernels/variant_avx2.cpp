#include "api.hpp"
#if defined(__AVX2__)
#define SHOAL_VARIANT avx2
#define SHOAL_VECTOR_BYTES 32
#define SHOAL_ROW_VECTORS 2
#include "variant.hpp"
#else
namespace shoal {
const Variant *avx2_variant() { return nullptr; }
} // namespace shoal
#endif
