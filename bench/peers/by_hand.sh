#!/usr/bin/env bash
# A peer: the steps of the single-account and the migration guide (the third and fourth source document) with the AWS
# CLI and curl, account after account.
#
#     AWS=path/to/aws bench/peers/by_hand.sh METADATA.xml ACCOUNT...
#
# SAML provider; three roles with their policies; policy, user and key by which Okta lists roles; the account's alias and
# its three role groups. Thirteen calls of AWS and three of Okta's an account. What the guides do by hand in Okta's pages
# is left out, in this peer's favour, and so are the groups where there is no curl.
set -euo pipefail
metadata=$1
shift
for account in "$@"; do
  read -r key secret token < <(
    "$AWS" sts assume-role --role-session-name by-hand --output text \
      --role-arn "arn:aws:iam::$account:role/OrganizationAccountAccessRole" \
      --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]'
  )
  (
    export AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token
    provider=arn:aws:iam::$account:saml-provider/Okta
    "$AWS" iam create-saml-provider --name Okta --saml-metadata-document "file://$metadata"
    trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"'$provider'"},"Action":"sts:AssumeRoleWithSAML","Condition":{"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}}}]}'
    for role in Administrator PowerUser ReadOnly; do
      policy=${role/ReadOnly/ReadOnlyAccess}
      policy=${policy/Administrator/AdministratorAccess}
      policy=${policy/PowerUser/PowerUserAccess}
      "$AWS" iam create-role --role-name "$role" --assume-role-policy-document "$trust"
      "$AWS" iam attach-role-policy --role-name "$role" --policy-arn "arn:aws:iam::aws:policy/$policy"
    done
    "$AWS" iam create-policy --policy-name OktaMasterAccountPolicy --policy-document \
      '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:ListRoles","iam:ListAccountAliases"],"Resource":"*"}]}'
    "$AWS" iam create-user --user-name OktaSSOuser
    "$AWS" iam attach-user-policy --user-name OktaSSOuser \
      --policy-arn "arn:aws:iam::$account:policy/OktaMasterAccountPolicy"
    "$AWS" iam create-access-key --user-name OktaSSOuser
    alias=$("$AWS" iam list-account-aliases --output text --query 'AccountAliases[0]')
    for role in Administrator PowerUser ReadOnly; do
      command -v curl || break
      curl --silent --fail --cacert "$SSL_CERT_FILE" "$OKTA_CLIENT_ORGURL/api/v1/groups" \
        --header "authorization: SSWS $OKTA_CLIENT_TOKEN" --header "content-type: application/json" \
        --data '{"profile":{"name":"aws#'"$alias#$role#$account"'"}}'
    done
  ) > /dev/null
done
