/* nouns.h: the commands, each defined in its noun's file and listed in main.c. */
#ifndef WEIR_CLI_NOUNS_H
#define WEIR_CLI_NOUNS_H

#include "runtime/cli/cli.h"

extern const struct command command_produce;        /* cli_produce.c */
extern const struct command command_consume;        /* cli_consume.c */
extern const struct command command_topic_create;   /* cli_topic.c */
extern const struct command command_topic_list;
extern const struct command command_topic_describe;
extern const struct command command_topic_alter;
extern const struct command command_topic_delete;
extern const struct command command_topic_clean;    /* cli_topic_clean.c */
extern const struct command command_topic_configs;  /* cli_topic_configs.c */
extern const struct command command_topic_delete_records; /* cli_topic_records.c */
extern const struct command command_topic_verify;   /* cli_topic_verify.c */
extern const struct command command_topic_truncate; /* cli_topic_truncate.c */
extern const struct command command_topic_export;   /* cli_topic_export.c */
extern const struct command command_topic_import;   /* cli_topic_import.c */
extern const struct command command_group_list;     /* cli_group.c */
extern const struct command command_group_describe;
extern const struct command command_group_reset;
extern const struct command command_group_delete;
extern const struct command command_group_delete_offsets;
extern const struct command command_app_reset;      /* cli_app.c */
extern const struct command command_log_describe;   /* cli_log.c */
extern const struct command command_state_list;     /* cli_state.c */
extern const struct command command_state_get;
extern const struct command command_state_scan;
extern const struct command command_run;            /* cli_sql.c */
extern const struct command command_check;
extern const struct command command_verify;         /* cli_verify.c */
extern const struct command command_explain;
extern const struct command command_query;          /* cli_query.c */
extern const struct command command_dlq_list;       /* cli_dlq.c */
extern const struct command command_dlq_show;
extern const struct command command_dlq_replay;     /* cli_dlq_replay.c */
extern const struct command command_top;            /* cli_top.c */
extern const struct command command_user_add;       /* cli_user.c */
extern const struct command command_user_password;
extern const struct command command_user_list;
extern const struct command command_user_delete;
extern const struct command command_acl_add;        /* cli_acl.c */
extern const struct command command_acl_list;
extern const struct command command_acl_delete;
extern const struct command command_serve;          /* cli_serve.c */
extern const struct command command_version;        /* cli_version.c */

#endif
