/* hash.h: XXH3 for our own tables, murmur2 for Kafka's partitioner, CRC32C for batches. */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t size);                      /* XXH3, seed 0 */
struct hash128 { uint64_t low, high; };
struct hash128 hash128(const void *data, size_t size);               /* XXH3-128 */
/* The same of bytes that come piece by piece: what hash128 gives of all so far. NULL: no memory. */
struct hash_stream;
struct hash_stream *hash_stream_create(void);
void hash_stream_add(struct hash_stream *stream, const void *data, size_t size);
struct hash128 hash_stream_get(const struct hash_stream *stream);
void hash_stream_destroy(struct hash_stream *stream);
/* Kafka's murmur2 (org.apache.kafka.common.utils.Utils), seed 0x9747b28c. murmur2("kafka") = 0xd067cf64. */
uint32_t murmur2(const void *data, size_t size);
/* (murmur2 & 0x7fffffff) mod partition_count, as Java clients do for a keyed record. */
int32_t murmur2_partition(const void *data, size_t size, int32_t partition_count);
/* CRC-32C (Castagnoli) through ISA-L. crc32c("123456789", 9) = 0xE3069283. */
uint32_t crc32c(const void *data, size_t size);

#endif
