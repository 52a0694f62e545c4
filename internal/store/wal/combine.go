package wal

// Checksums of long bodies are taken where the body was just made, while it
// lies in that processor's cache, and not again in the lane, which may run on
// another: there the chain is continued by arithmetic.
//
// A CRC is a remainder of polynomials over GF(2). With c the value so far and s
// that of n bytes alone (beginning with 0), the value over both is s plus c
// times x to the power of 8n, modulo the polynomial. As everywhere with CRC32C
// the coefficient of x^0 is the highest bit.

// polynomial is CRC32C's, without x^32.
const polynomial = 0x82F63B78

// powers holds x to the power of 8 * 2^k modulo the polynomial.
var powers = func() (p [31]uint32) {
	p[0] = 1 << (31 - 8)
	for k := range len(p) - 1 {
		p[k+1] = multiply(p[k], p[k])
	}
	return p
}()

// multiply returns the product of a and b modulo the polynomial.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ polynomial
		} else {
			b >>= 1
		}
	}
	return product
}

// combine continues a checksum over n bytes whose own checksum is sum.
func combine(crc, sum uint32, n int) uint32 {
	for k := 0; n > 0 && crc != 0; k, n = k+1, n>>1 {
		if n&1 != 0 {
			crc = multiply(crc, powers[k])
		}
	}
	return crc ^ sum
}
