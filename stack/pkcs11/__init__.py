# SPDX-License-Identifier: Apache-2.0
"""Keys of a stack in a PKCS#11 token: an HSM, a smart card, SoftHSM. Imported only where ``[keys]`` of the settings names one."""
