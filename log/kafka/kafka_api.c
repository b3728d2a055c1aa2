/* kafka_api.c: the table of APIs. A new API is a file with a handler and a line here; what the line says is what ApiVersions tells clients, so that a
 * version that is not served whole does not stand in it. */
#include "log/kafka/kafka_handlers.h"

static const struct kafka_api apis[] = {
    /* key, name, lowest advertised, lowest served, highest, first flexible, handler, whether it moves groups, who runs it,
     * which operation it needs on what it names */
    /* clang-format off */
    {0, "Produce", 0, 3, 11, 9, kafka_handle_produce, false, KAFKA_QUICK, {.topic = ACL_WRITE, .txn = ACL_WRITE}},
    {1, "Fetch", 4, 4, 17, 12, kafka_handle_fetch, false, KAFKA_QUICK, {.topic = ACL_READ}},
    {2, "ListOffsets", 1, 1, 9, 6, kafka_handle_list_offsets, false, KAFKA_QUICK, {.topic = ACL_DESCRIBE}},
    {3, "Metadata", 0, 0, 12, 9, kafka_handle_metadata, false, KAFKA_QUICK, {.topic = ACL_DESCRIBE, .cluster = ACL_DESCRIBE}},
    {8, "OffsetCommit", 2, 2, 9, 8, kafka_handle_offset_commit, false, KAFKA_QUICK, {.topic = ACL_READ, .group = ACL_READ}},
    {9, "OffsetFetch", 1, 1, 9, 6, kafka_handle_offset_fetch, false, KAFKA_QUICK, {.topic = ACL_DESCRIBE, .group = ACL_DESCRIBE}},
    {10, "FindCoordinator", 0, 0, 6, 3, kafka_handle_find_coordinator, false, KAFKA_QUICK, {.group = ACL_DESCRIBE, .txn = ACL_DESCRIBE}},
    {11, "JoinGroup", 0, 0, 9, 6, kafka_handle_join_group, true, KAFKA_QUICK, {.group = ACL_READ}},
    {12, "Heartbeat", 0, 0, 4, 4, kafka_handle_heartbeat, false, KAFKA_QUICK, {.group = ACL_READ}},
    {13, "LeaveGroup", 0, 0, 5, 4, kafka_handle_leave_group, true, KAFKA_QUICK, {.group = ACL_READ}},
    {14, "SyncGroup", 0, 0, 5, 4, kafka_handle_sync_group, true, KAFKA_QUICK, {.group = ACL_READ}},
    {15, "DescribeGroups", 0, 0, 5, 5, kafka_handle_describe_groups, false, KAFKA_QUICK, {.group = ACL_DESCRIBE}},
    {16, "ListGroups", 0, 0, 5, 3, kafka_handle_list_groups, false, KAFKA_QUICK, {.group = ACL_DESCRIBE, .cluster = ACL_DESCRIBE}},
    {17, "SaslHandshake", 0, 0, 1, KAFKA_NEVER_FLEXIBLE, kafka_handle_sasl_handshake, false, KAFKA_QUICK, {.is_open = true}},
    {18, "ApiVersions", 0, 0, 4, 3, kafka_handle_api_versions, false, KAFKA_QUICK, {.is_open = true}},
    {19, "CreateTopics", 0, 0, 7, 5, kafka_handle_create_topics, false, KAFKA_TOPICS, {.topic = ACL_CREATE, .cluster = ACL_CREATE}},
    {20, "DeleteTopics", 0, 0, 6, 4, kafka_handle_delete_topics, false, KAFKA_TOPICS, {.topic = ACL_DELETE}},
    {21, "DeleteRecords", 0, 0, 2, 2, kafka_handle_delete_records, false, KAFKA_QUICK, {.topic = ACL_DELETE}},
    {22, "InitProducerId", 0, 0, 5, 2, kafka_handle_init_producer_id, false, KAFKA_PRODUCERS, {.txn = ACL_WRITE, .cluster = ACL_IDEMPOTENT_WRITE}},
    {23, "OffsetForLeaderEpoch", 2, 2, 4, 4, kafka_handle_offset_for_leader_epoch, false, KAFKA_QUICK, {.topic = ACL_DESCRIBE}},
    {24, "AddPartitionsToTxn", 0, 0, 3, 3, kafka_handle_add_partitions_to_txn, false, KAFKA_QUICK, {.topic = ACL_WRITE, .txn = ACL_WRITE}},
    {25, "AddOffsetsToTxn", 0, 0, 4, 3, kafka_handle_add_offsets_to_txn, false, KAFKA_QUICK, {.group = ACL_READ, .txn = ACL_WRITE}},
    {26, "EndTxn", 0, 0, 4, 3, kafka_handle_end_txn, false, KAFKA_QUICK, {.txn = ACL_WRITE}},
    {28, "TxnOffsetCommit", 0, 0, 4, 3, kafka_handle_txn_offset_commit, false, KAFKA_QUICK, {.topic = ACL_READ, .group = ACL_READ, .txn = ACL_WRITE}},
    {29, "DescribeAcls", 1, 1, 3, 2, kafka_handle_describe_acls, false, KAFKA_QUICK, {.cluster = ACL_DESCRIBE}},
    {30, "CreateAcls", 1, 1, 3, 2, kafka_handle_create_acls, false, KAFKA_QUICK, {.cluster = ACL_ALTER}},
    {31, "DeleteAcls", 1, 1, 3, 2, kafka_handle_delete_acls, false, KAFKA_QUICK, {.cluster = ACL_ALTER}},
    {32, "DescribeConfigs", 1, 1, 4, 4, kafka_handle_describe_configs, false, KAFKA_QUICK, {.topic = ACL_DESCRIBE_CONFIGS, .cluster = ACL_DESCRIBE_CONFIGS}},
    {33, "AlterConfigs", 0, 0, 2, 2, kafka_handle_alter_configs, false, KAFKA_QUICK, {.topic = ACL_ALTER_CONFIGS, .cluster = ACL_ALTER_CONFIGS}},
    {35, "DescribeLogDirs", 1, 1, 4, 2, kafka_handle_describe_log_dirs, false, KAFKA_QUICK, {.cluster = ACL_DESCRIBE}},
    {36, "SaslAuthenticate", 0, 0, 2, 2, kafka_handle_sasl_authenticate, false, KAFKA_STRANGERS, {.is_open = true}},
    {37, "CreatePartitions", 0, 0, 3, 2, kafka_handle_create_partitions, false, KAFKA_TOPICS, {.topic = ACL_ALTER}},
    {42, "DeleteGroups", 0, 0, 2, 2, kafka_handle_delete_groups, false, KAFKA_QUICK, {.group = ACL_DELETE}},
    {43, "ElectLeaders", 0, 0, 2, 2, kafka_handle_elect_leaders, false, KAFKA_QUICK, {.cluster = ACL_ALTER}},
    {44, "IncrementalAlterConfigs", 0, 0, 1, 1, kafka_handle_incremental_alter_configs, false, KAFKA_QUICK, {.topic = ACL_ALTER_CONFIGS, .cluster = ACL_ALTER_CONFIGS}},
    {46, "ListPartitionReassignments", 0, 0, 0, 0, kafka_handle_list_partition_reassignments, false, KAFKA_QUICK, {.cluster = ACL_DESCRIBE}},
    {47, "OffsetDelete", 0, 0, 0, KAFKA_NEVER_FLEXIBLE, kafka_handle_offset_delete, false, KAFKA_QUICK, {.topic = ACL_READ, .group = ACL_DELETE}},
    {48, "DescribeClientQuotas", 0, 0, 1, 1, kafka_handle_describe_client_quotas, false, KAFKA_QUICK, {.cluster = ACL_DESCRIBE_CONFIGS}},
    {49, "AlterClientQuotas", 0, 0, 1, 1, kafka_handle_alter_client_quotas, false, KAFKA_QUICK, {.cluster = ACL_ALTER_CONFIGS}},
    {50, "DescribeUserScramCredentials", 0, 0, 0, 0, kafka_handle_describe_scram, false, KAFKA_QUICK, {.cluster = ACL_DESCRIBE}},
    {51, "AlterUserScramCredentials", 0, 0, 0, 0, kafka_handle_alter_scram, false, KAFKA_QUICK, {.cluster = ACL_ALTER}},
    {60, "DescribeCluster", 0, 0, 1, 0, kafka_handle_describe_cluster, false, KAFKA_QUICK, {.cluster = ACL_DESCRIBE}},
    {61, "DescribeProducers", 0, 0, 0, 0, kafka_handle_describe_producers, false, KAFKA_QUICK, {.topic = ACL_READ}},
    {65, "DescribeTransactions", 0, 0, 0, 0, kafka_handle_describe_transactions, false, KAFKA_QUICK, {.topic = ACL_DESCRIBE, .txn = ACL_DESCRIBE}},
    {66, "ListTransactions", 0, 0, 1, 0, kafka_handle_list_transactions, false, KAFKA_QUICK, {.txn = ACL_DESCRIBE}},
    /* clang-format on */
};

const struct kafka_api kafka_sasl_token = {
    .key = KAFKA_SASL_TOKEN,
    .name = "a SASL token",
    .first_flexible = KAFKA_NEVER_FLEXIBLE,
    .handle = kafka_handle_sasl_token,
    .lane = KAFKA_STRANGERS,
};

const struct kafka_api *kafka_api_at(size_t i)
{
    return i < sizeof apis / sizeof *apis ? &apis[i] : NULL;
}

const struct kafka_api *kafka_api_find(int16_t key)
{
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++)
        if (apis[i].key == key)
            return &apis[i];
    return NULL;
}
