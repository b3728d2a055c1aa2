/* test_kafka_access.c: no API without a word about who may have it; the operations that the table names are some that such a resource has. What is answered to
 * whom: tests/interop/test_wire_acl.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "log/kafka/kafka_request.h"

static void expect_operation(const struct kafka_api *api, enum acl_resource resource,
                             uint8_t operation)
{
    if (operation != 0 && (acl_operations_of(resource) >> operation & 1) == 0)
        fail_msg("%s: a %s has no operation %d", api->name, acl_resource_text(resource), operation);
}

static void test_every_api(void **state)
{
    (void)state;
    const struct kafka_api *api;
    for (size_t i = 0; (api = kafka_api_at(i)) != NULL; i++) {
        const struct kafka_rights *r = &api->rights;
        bool needs = r->topic != 0 || r->group != 0 || r->txn != 0 || r->cluster != 0;
        bool is_before_login = api->key == KAFKA_SASL_HANDSHAKE ||
                               api->key == KAFKA_SASL_AUTHENTICATE ||
                               api->key == KAFKA_API_VERSIONS;
        if (needs == r->is_open || r->is_open != is_before_login)
            fail_msg("%s does not say who may ask", api->name);
        expect_operation(api, ACL_TOPIC, r->topic);
        expect_operation(api, ACL_GROUP, r->group);
        expect_operation(api, ACL_TRANSACTIONAL_ID, r->txn);
        expect_operation(api, ACL_CLUSTER, r->cluster);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_api)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
