/* kafka_handlers.h: the handlers, one for each API, each in a file of its own; kafka_api.c lists them. */
#ifndef WEIR_KAFKA_HANDLERS_H
#define WEIR_KAFKA_HANDLERS_H

#include "log/kafka/kafka_request.h"

enum kafka_result kafka_handle_add_offsets_to_txn(struct kafka_request *request); /* kafka_add_offsets_to_txn.c */
enum kafka_result kafka_handle_add_partitions_to_txn(struct kafka_request *request); /* kafka_add_partitions_to_txn.c */
enum kafka_result kafka_handle_alter_client_quotas(struct kafka_request *request); /* kafka_alter_client_quotas.c */
enum kafka_result kafka_handle_alter_configs(struct kafka_request *request); /* kafka_alter_configs.c */
enum kafka_result kafka_handle_alter_scram(struct kafka_request *request); /* kafka_scram_users.c */
enum kafka_result kafka_handle_api_versions(struct kafka_request *request); /* kafka_api_versions.c */
enum kafka_result kafka_handle_create_partitions(struct kafka_request *request); /* kafka_create_partitions.c */
enum kafka_result kafka_handle_create_acls(struct kafka_request *request); /* kafka_create_acls.c */
enum kafka_result kafka_handle_create_topics(struct kafka_request *request); /* kafka_create_topics.c */
enum kafka_result kafka_handle_delete_acls(struct kafka_request *request); /* kafka_delete_acls.c */
enum kafka_result kafka_handle_delete_groups(struct kafka_request *request); /* kafka_delete_groups.c */
enum kafka_result kafka_handle_delete_records(struct kafka_request *request); /* kafka_delete_records.c */
enum kafka_result kafka_handle_delete_topics(struct kafka_request *request); /* kafka_delete_topics.c */
enum kafka_result kafka_handle_describe_acls(struct kafka_request *request); /* kafka_describe_acls.c */
enum kafka_result kafka_handle_describe_client_quotas(struct kafka_request *request); /* kafka_describe_client_quotas.c */
enum kafka_result kafka_handle_describe_cluster(struct kafka_request *request); /* kafka_describe_cluster.c */
enum kafka_result kafka_handle_describe_configs(struct kafka_request *request); /* kafka_describe_configs.c */
enum kafka_result kafka_handle_describe_groups(struct kafka_request *request); /* kafka_describe_groups.c */
enum kafka_result kafka_handle_describe_log_dirs(struct kafka_request *request); /* kafka_describe_log_dirs.c */
enum kafka_result kafka_handle_describe_producers(struct kafka_request *request); /* kafka_describe_producers.c */
enum kafka_result kafka_handle_describe_transactions(struct kafka_request *request); /* kafka_describe_transactions.c */
enum kafka_result kafka_handle_elect_leaders(struct kafka_request *request); /* kafka_elect_leaders.c */
enum kafka_result kafka_handle_end_txn(struct kafka_request *request); /* kafka_end_txn.c */
enum kafka_result kafka_handle_describe_scram(struct kafka_request *request); /* kafka_scram_users.c */
enum kafka_result kafka_handle_fetch(struct kafka_request *request); /* kafka_fetch.c */
enum kafka_result kafka_handle_find_coordinator(struct kafka_request *request); /* kafka_find_coordinator.c */
enum kafka_result kafka_handle_heartbeat(struct kafka_request *request); /* kafka_heartbeat.c */
enum kafka_result kafka_handle_incremental_alter_configs(struct kafka_request *request); /* kafka_incremental_alter_configs.c */
enum kafka_result kafka_handle_init_producer_id(struct kafka_request *request); /* kafka_init_producer_id.c */
enum kafka_result kafka_handle_join_group(struct kafka_request *request); /* kafka_join_group.c */
enum kafka_result kafka_handle_leave_group(struct kafka_request *request); /* kafka_leave_group.c */
enum kafka_result kafka_handle_list_groups(struct kafka_request *request); /* kafka_list_groups.c */
enum kafka_result kafka_handle_list_offsets(struct kafka_request *request); /* kafka_list_offsets.c */
enum kafka_result kafka_handle_list_partition_reassignments(struct kafka_request *request); /* kafka_list_partition_reassignments.c */
enum kafka_result kafka_handle_list_transactions(struct kafka_request *request); /* kafka_list_transactions.c */
enum kafka_result kafka_handle_metadata(struct kafka_request *request); /* kafka_metadata.c */
enum kafka_result kafka_handle_offset_commit(struct kafka_request *request); /* kafka_offset_commit.c */
enum kafka_result kafka_handle_offset_delete(struct kafka_request *request); /* kafka_offset_delete.c */
enum kafka_result kafka_handle_offset_fetch(struct kafka_request *request); /* kafka_offset_fetch.c */
enum kafka_result kafka_handle_offset_for_leader_epoch(struct kafka_request *request); /* kafka_offset_for_leader_epoch.c */
enum kafka_result kafka_handle_produce(struct kafka_request *request); /* kafka_produce.c */
enum kafka_result kafka_handle_sasl_authenticate(struct kafka_request *request); /* kafka_sasl.c */
enum kafka_result kafka_handle_sasl_handshake(struct kafka_request *request);
enum kafka_result kafka_handle_sasl_token(struct kafka_request *request);
enum kafka_result kafka_handle_sync_group(struct kafka_request *request); /* kafka_sync_group.c */
enum kafka_result kafka_handle_txn_offset_commit(struct kafka_request *request); /* kafka_txn_offset_commit.c */

#endif
