"""The types that several rules are about, by Pulumi's type tokens."""

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
NAMESPACE = "kubernetes:core/v1:Namespace"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
SERVICE = "kubernetes:core/v1:Service"
ACCOUNT = "kubernetes:core/v1:ServiceAccount"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
CRON_JOB = "kubernetes:batch/v1:CronJob"
JOB = "kubernetes:batch/v1:Job"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
SCALED_OBJECT = "kubernetes:keda.sh/v1alpha1:ScaledObject"
API_SERVICE = "kubernetes:apiregistration.k8s.io/v1:APIService"
RBAC = "kubernetes:rbac.authorization.k8s.io/v1"
CLUSTER_ROLE = f"{RBAC}:ClusterRole"
ROLES = (CLUSTER_ROLE, f"{RBAC}:Role")
BINDINGS = (f"{RBAC}:ClusterRoleBinding", f"{RBAC}:RoleBinding")

BUCKETS = ("aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2")
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
KEY = "aws:kms/key:Key"
AWS_ROLE = "aws:iam/role:Role"
AWS_POLICY = "aws:iam/policy:Policy"
AWS_USER_POLICY = "aws:iam/userPolicy:UserPolicy"
AWS_USER_ATTACHMENT = "aws:iam/userPolicyAttachment:UserPolicyAttachment"
