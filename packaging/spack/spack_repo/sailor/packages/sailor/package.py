import os

from spack_repo.builtin.build_systems.cuda import CudaPackage
from spack_repo.builtin.build_systems.makefile import MakefilePackage

from spack.package import *


class Sailor(MakefilePackage, CudaPackage):
    """Planner and trainer for distributed training: which GPUs of several types and zones take which part of a model,
    with a proof of how good the plan is, and a trainer that runs it over MPI."""

    # the clone that this recipe lies in
    git = "file://" + os.path.realpath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 6))

    license("MIT")

    version("main", branch="main")

    variant("metis", default=True, description="With the published planner flashflex")

    depends_on("c", type="build")
    depends_on("cxx", type="build", when="+cuda")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("hdf5+mpi")
    depends_on("cjson")
    depends_on("openblas")
    depends_on("metis@5:", when="+metis")
    depends_on("nccl", when="+cuda")
    depends_on("cmocka", type="test")

    conflicts("cuda_arch=none", when="+cuda", msg="name the GPUs: cuda_arch=90")

    @property
    def options(self):
        """Variables of the Makefile, in place of its probes."""

        def found(variable, name):
            return [
                "{0}_CPPFLAGS=-isystem {1}".format(variable, self.spec[name].prefix.include),
                "{0}_LIBS={1}".format(variable, self.spec[name].libs.ld_flags),
            ]

        options = ["PREFIX=" + self.prefix, "CC=" + self.spec["mpi"].mpicc]
        options += found("HDF5", "hdf5") + found("CJSON", "cjson") + found("BLAS", "openblas")
        # its header is found by Spack's compiler
        options.append("METIS_LIBS=" + (self.spec["metis"].libs.ld_flags if self.spec.satisfies("+metis") else ""))
        if self.spec.satisfies("+cuda"):
            options += [
                "CUDA_HOME=" + self.spec["cuda"].prefix,
                "NVCC=" + self.spec["cuda"].prefix.bin.nvcc,
                "NCCL_HOME=" + self.spec["nccl"].prefix,
                "CUDA_ARCHS=" + " ".join(self.spec.variants["cuda_arch"].value),
            ]
        else:
            options.append("NVCC=")
        return options

    @property
    def build_targets(self):
        return self.options + ["all"]

    @property
    def install_targets(self):
        return self.options + ["install"]

    def check(self):
        make(*self.options, "check-unit")

    def test_plan(self):
        """plan a published job"""
        sailor = which(self.prefix.bin.sailor)
        assert "optimal" in sailor("plan", "fig7", "--quiet", output=str.split, error=str.split)
